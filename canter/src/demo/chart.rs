//! Curves made of characters.

/// Dots of a braille cell, by column and row from the top.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
const BLANK: u32 = 0x2800;
/// Blocks of rising height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A curve of `width` by `height` characters, two by four dots each, from the top line down.
///
/// All values are drawn, spread over the width; those outside of `low..=high` lie on the edge, NaN
/// leaves a gap.
pub(crate) fn curve(
    values: &[f64],
    low: f64,
    high: f64,
    width: usize,
    height: usize,
) -> Vec<String> {
    let (columns, rows) = (width * 2, height * 4);
    let mut cells = vec![vec![BLANK; width]; height];
    let mut previous = None;
    for column in 0..columns {
        // The nearest value; the last column shows the last one.
        let (last, gaps) = (values.len().saturating_sub(1), (columns - 1).max(1));
        let index = (column * last + gaps / 2) / gaps;
        let row = values.get(index).and_then(|&v| row_of(v, low, high, rows));
        if let Some(row) = row {
            let from = previous.unwrap_or(row);
            // Dots in between keep a steep curve connected.
            for row in row.min(from)..=row.max(from) {
                cells[row / 4][column / 2] |= DOTS[column % 2][row % 4];
            }
        }
        previous = row;
    }
    cells
        .into_iter()
        .map(|line| line.into_iter().filter_map(char::from_u32).collect())
        .collect()
}

fn row_of(v: f64, low: f64, high: f64, rows: usize) -> Option<usize> {
    if v.is_nan() {
        return None;
    }
    // 0 to 1 from the top.
    let depth = 1.0 - share(v, low, high);
    Some((depth * (rows - 1) as f64).round() as usize)
}

/// Where `v` lies between `low` and `high`, 0 to 1.
fn share(v: f64, low: f64, high: f64) -> f64 {
    if high > low {
        ((v - low) / (high - low)).clamp(0.0, 1.0)
    } else {
        0.5
    }
}

/// The last `width` values as a line of blocks, scaled to their own range; a gap for NaN.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    shown
        .iter()
        .map(|&v| {
            if v.is_nan() {
                return ' ';
            }
            let step = (share(v, low, high) * (BLOCKS.len() - 1) as f64).round();
            BLOCKS[step as usize]
        })
        .collect()
}

/// A bar of `width` characters, `share` of it filled.
pub(crate) fn bar(share: f64, width: usize) -> String {
    let filled = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "━".repeat(filled), "─".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_goes_from_the_bottom_left_to_the_top_right() {
        let values: Vec<f64> = (0..8).map(f64::from).collect();
        assert_eq!(curve(&values, 0.0, 7.0, 4, 2), ["⠀⠀⣠⠞", "⣠⠞⠁⠀"]);
    }

    #[test]
    fn values_outside_lie_on_the_edge_and_nan_leaves_a_gap() {
        let flat = curve(&[99.0, f64::NAN, -99.0], -1.0, 1.0, 3, 1);
        assert_eq!(flat, ["⠉⠀⣀"]);
        assert_eq!(curve(&[], 0.0, 1.0, 2, 1), ["⠀⠀"]);
    }

    #[test]
    fn a_sparkline_scales_itself() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.5, f64::NAN, 7.0], 5), "▁▂▄ █");
        assert_eq!(sparkline(&[], 5), "");
        assert_eq!(sparkline(&[3.0, 3.0], 5), "▅▅");
    }

    #[test]
    fn a_bar_fills() {
        assert_eq!(bar(0.5, 4), "━━──");
        assert_eq!(bar(2.0, 2), "━━");
    }
}
