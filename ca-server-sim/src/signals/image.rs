//! Camera frames.

use std::time::Duration;

use ca_proto::dbr::{NativeType, Value};
use ca_proto::rng::Pcg32;

use super::Signal;
use super::wave::phase;

/// A camera: a bright spot that circles over a noisy background, 8 bits per pixel, row by row.
/// The value is a `CHAR` array of `width * height` elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Camera {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Time of one circle of the spot.
    pub period: Duration,
}

impl Camera {
    /// A camera whose spot needs four seconds for a circle.
    pub const fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            period: Duration::from_secs(4),
        }
    }

    /// Pixels of a frame, saturating: the capacity its PV needs.
    pub const fn pixels(&self) -> u32 {
        self.width.saturating_mul(self.height)
    }

    fn background(&self, rng: &mut Pcg32) -> Vec<u8> {
        let mut pixels = vec![0; self.pixels() as usize];
        // One random number for eight pixels of values 0 to 15.
        for group in pixels.chunks_mut(8) {
            let random = rng.next_u32();
            for (n, pixel) in group.iter_mut().enumerate() {
                *pixel = (random >> (4 * n)) as u8 & 0x0f;
            }
        }
        pixels
    }

    /// Brightness of the spot around its centre falls to nothing at three times its radius, so only
    /// the pixels near it are touched.
    fn draw_spot(&self, pixels: &mut [u8], x: f64, y: f64) {
        let radius = f64::from(self.width.min(self.height)) / 12.0 + 1.0;
        let span = |centre: f64, end: u32| {
            let from = (centre - 3.0 * radius).max(0.0) as u32;
            from..((centre + 3.0 * radius) as u32).saturating_add(1).min(end)
        };
        for row in span(y, self.height) {
            for column in span(x, self.width) {
                let (dx, dy) = (f64::from(column) - x, f64::from(row) - y);
                let light = 239.0 * libm::exp(-(dx * dx + dy * dy) / (2.0 * radius * radius));
                let at = row as usize * self.width as usize + column as usize;
                if let Some(pixel) = pixels.get_mut(at) {
                    *pixel = pixel.saturating_add(light as u8);
                }
            }
        }
    }
}

impl Signal for Camera {
    fn sample(&mut self, t: Duration, rng: &mut Pcg32) -> Value {
        let mut pixels = self.background(rng);
        let angle = core::f64::consts::TAU * phase(t, self.period);
        let x = f64::from(self.width) * (0.5 + 0.3 * libm::cos(angle));
        let y = f64::from(self.height) * (0.5 + 0.3 * libm::sin(angle));
        self.draw_spot(&mut pixels, x, y);
        Value::from_wire(NativeType::Char, pixels.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spot_circles_over_a_dark_background() {
        let mut camera = Camera::new(40, 20);
        let brightest = |frame: &Value| {
            let frame = frame.as_ref().data;
            (0..frame.len()).max_by_key(|&at| frame[at]).unwrap()
        };
        let start = camera.sample(Duration::ZERO, &mut Pcg32::new(1));
        assert_eq!((start.native(), start.count()), (NativeType::Char, 800));
        assert!(brightest(&start) % 40 > 20, "the spot starts on the right");
        let half = camera.sample(Duration::from_secs(2), &mut Pcg32::new(1));
        assert!(brightest(&half) % 40 < 20, "then it is on the left");
        assert!(start.as_ref().data[0] < 16, "the corner is dark");
    }

    #[test]
    fn a_camera_without_pixels_is_empty() {
        let frame = Camera::new(0, 7).sample(Duration::ZERO, &mut Pcg32::new(1));
        assert_eq!(frame.count(), 0);
    }
}
