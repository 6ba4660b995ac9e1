//! Pictures as SVG: lines and dots over axes, and matrices as fields of colour.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nalgebra::DMatrix;

use crate::Error;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Left, top, right, bottom.
const MARGINS: [f64; 4] = [70.0, 40.0, 20.0, 52.0];
/// Distinct also for the colour-blind (after Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];
/// Shades of a field on either side of zero.
const SHADES: i32 = 16;

#[derive(Clone, Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    dots: bool,
}

/// Lines and dots over two axes.
#[derive(Clone, Debug)]
pub struct Plot {
    title: String,
    labels: [String; 2],
    series: Vec<Series>,
    logarithmic: bool,
}

/// Where numbers are in the picture.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::MAX, f64::MIN), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        let (low, high) = match high - low {
            span if span > 0.0 => (low, high),
            _ if low == f64::MAX => (0.0, 1.0),
            _ => (low - 0.5, low + 0.5),
        };
        Self {
            low,
            high,
            from,
            to,
        }
    }

    fn roomy(self) -> Self {
        let room = 0.06 * (self.high - self.low);
        let (low, high) = (self.low - room, self.high + room);
        Self { low, high, ..self }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers, some five of them.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0];
        let step = steps
            .iter()
            .map(|s| s * power)
            .find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// A number as an axis shows it.
fn number(value: f64) -> String {
    let text = match value.abs() {
        0.0 => return "0".to_owned(),
        small if !(1e-3..1e5).contains(&small) => return format!("{value:.0e}"),
        small if small < 1.0 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn begin(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"24\" font-size=\"15\">{}</text>\n",
        MARGINS[0],
        escaped(title)
    )
}

fn label(svg: &mut String, labels: &[String; 2]) {
    let [left, top, right, bottom] = MARGINS;
    let (x, y) = ((left + WIDTH - right) / 2.0, (top + HEIGHT - bottom) / 2.0);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(18 {y}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 12.0,
        escaped(&labels[0]),
        escaped(&labels[1])
    );
}

/// Writes a picture to a file.
///
/// # Errors
/// It cannot be written.
pub fn save(path: &Path, svg: &str) -> Result<(), Error> {
    fs::write(path, svg).map_err(|error| Error::from(format!("{}: {error}", path.display())))?;
    println!("{} is drawn", path.display());
    Ok(())
}

impl Plot {
    /// An empty plot.
    pub fn new(title: &str, x: &str, y: &str) -> Self {
        Self {
            title: title.to_owned(),
            labels: [x.to_owned(), y.to_owned()],
            series: Vec::new(),
            logarithmic: false,
        }
    }

    /// The vertical axis shows logarithms; what is not positive is left out.
    #[must_use]
    pub const fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// A line through points.
    #[must_use]
    pub fn line(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series(name, points, false)
    }

    /// Points alone.
    #[must_use]
    pub fn dots(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series(name, points, true)
    }

    fn series(
        mut self,
        name: &str,
        points: impl IntoIterator<Item = (f64, f64)>,
        dots: bool,
    ) -> Self {
        let logarithmic = self.logarithmic;
        let points = points.into_iter().map(|(x, y)| match logarithmic {
            true => (x, y.log10()),
            false => (x, y),
        });
        let points = points.filter(|(x, y)| x.is_finite() && y.is_finite());
        self.series.push(Series {
            name: name.to_owned(),
            points: points.collect(),
            dots,
        });
        self
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let [left, top, right, bottom] = MARGINS;
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Scale::over(points().map(|p| p.0), left, WIDTH - right);
        let y = Scale::over(points().map(|p| p.1), HEIGHT - bottom, top).roomy();
        let mut svg = begin(&self.title);
        self.axes(&mut svg, &x, &y);
        for (n, series) in self.series.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let at = series.points.iter().map(|&(a, b)| (x.at(a), y.at(b)));
            if series.dots {
                for (a, b) in at {
                    let _ = writeln!(
                        svg,
                        "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
                    );
                }
            } else {
                let path: Vec<String> = at.map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
                let _ = writeln!(
                    svg,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
                    path.join(" ")
                );
            }
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Scale, y: &Scale) {
        for tick in x.ticks() {
            let (at, [from, to]) = (x.at(tick), [y.from, y.to]);
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {from}V{to}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                from + 18.0,
                number(tick)
            );
        }
        let mut ticks = y.ticks();
        if self.logarithmic {
            ticks = (y.low.ceil() as i32..=y.high.floor() as i32)
                .map(f64::from)
                .collect();
        }
        for tick in ticks {
            let (at, [from, to]) = (y.at(tick), [x.from, x.to]);
            let text = match self.logarithmic {
                true => number(10f64.powf(tick)),
                false => number(tick),
            };
            let _ = writeln!(
                svg,
                "<path d=\"M{from} {at:.1}H{to}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                from - 8.0,
                at + 4.5
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{} {}V{}H{}\" stroke=\"#444\" fill=\"none\"/>",
            x.from, y.to, y.from, x.to
        );
        label(svg, &self.labels);
    }

    /// Above the axes, where no line is.
    fn legend(&self, svg: &mut String) {
        let mut right = WIDTH - MARGINS[2];
        let named = self.series.iter().enumerate().rev();
        for (n, series) in named.filter(|(_, series)| !series.name.is_empty()) {
            let colour = COLOURS[n % COLOURS.len()];
            let _ = writeln!(
                svg,
                "<text x=\"{right}\" y=\"34\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                escaped(&series.name)
            );
            // As wide as letters are on average.
            right -= 8.0 * series.name.chars().count() as f64 + 24.0;
        }
    }
}

/// A matrix as a field of colours: blue below zero, orange above.
pub fn field(title: &str, labels: [&str; 2], unit: &str, values: &DMatrix<f64>) -> String {
    let [left, top, _, bottom] = MARGINS;
    let most = values.amax().max(f64::MIN_POSITIVE);
    let (rows, columns) = values.shape();
    let (width, height) = (WIDTH - left - 130.0, HEIGHT - top - bottom);
    let (w, h) = (width / columns.max(1) as f64, height / rows.max(1) as f64);
    // One path for each shade: cells beside each other are one piece.
    let shade = |value: f64| (value / most * f64::from(SHADES)).round() as i32;
    let mut paths = vec![String::new(); 2 * SHADES as usize + 1];
    for (r, row) in values.row_iter().enumerate() {
        let mut column = 0;
        while column < columns {
            let of = shade(row[column]);
            let same = (column..columns).take_while(|&c| shade(row[c]) == of);
            let run = same.count();
            if let Some(path) = paths.get_mut((of + SHADES) as usize) {
                let (x, y) = (left + column as f64 * w, top + r as f64 * h);
                let wide = run as f64 * w;
                let _ = write!(path, "M{x:.1} {y:.1}h{wide:.1}v{h:.2}h-{wide:.1}z");
            }
            column += run;
        }
    }
    let mut svg = begin(title);
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"#fff\" stroke=\"#444\"/>"
    );
    for (n, path) in paths.iter().enumerate() {
        let of = n as i32 - SHADES;
        if !path.is_empty() && of != 0 {
            let _ = writeln!(svg, "<path fill=\"{}\" d=\"{path}\"/>", colour(of));
        }
    }
    // What the colours mean.
    let (x, step) = (WIDTH - 115.0, height / (2 * SHADES + 1) as f64);
    for of in -SHADES..=SHADES {
        let y = top + f64::from(SHADES - of) * step;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"16\" height=\"{:.1}\" fill=\"{}\"/>",
            step + 0.3,
            colour(of)
        );
    }
    for (part, y) in [(1.0, top), (0.0, top + height / 2.0), (-1.0, top + height)] {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\">{} {}</text>",
            x + 22.0,
            y + 5.0,
            number(part * most),
            escaped(unit)
        );
    }
    for (text, x, y, anchor) in [
        ("1".to_owned(), left, top + height + 18.0, "middle"),
        (
            columns.to_string(),
            left + width,
            top + height + 18.0,
            "middle",
        ),
        ("1".to_owned(), left - 8.0, top + 10.0, "end"),
        (rows.to_string(), left - 8.0, top + height, "end"),
    ] {
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    label(&mut svg, &labels.map(ToOwned::to_owned));
    svg.push_str("</svg>\n");
    svg
}

/// From white to blue below zero, to orange above.
fn colour(shade: i32) -> String {
    let part = f64::from(shade.abs()) / f64::from(SHADES);
    let end = match shade < 0 {
        true => [0.0, 90.0, 170.0],
        false => [213.0, 94.0, 0.0],
    };
    let [r, g, b] = end.map(|end| (255.0 + (end - 255.0) * part).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let scale = Scale::over([0.13, 0.97].into_iter(), 0.0, 100.0);
        let ticks: Vec<String> = scale.ticks().into_iter().map(number).collect();
        assert_eq!(ticks, ["0.2", "0.4", "0.6", "0.8"]);
        let flat = Scale::over([2.0, 2.0].into_iter(), 0.0, 100.0);
        assert_eq!(flat.at(2.0), 50.0);
        let nothing = Scale::over([f64::NAN].into_iter(), 0.0, 100.0);
        assert!(!nothing.ticks().is_empty());
    }

    #[test]
    fn names_cannot_break_a_picture() {
        let plot = Plot::new("a < b & c", "x", "y").line("<b>", [(0.0, 1.0), (1.0, f64::NAN)]);
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&lt;b&gt;"));
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
