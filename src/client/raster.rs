//! A picture as PNG.

use font8x8::UnicodeFonts;

use super::chart::{BACKGROUND, Color, Scene, Shape};

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// The file's bytes.
///
/// # Errors
/// What the encoder says.
pub(super) fn render(scene: &Scene) -> Result<Vec<u8>, png::EncodingError> {
    let mut canvas = Canvas {
        width: scene.width,
        height: scene.height,
        pixels: BACKGROUND.repeat(scene.width * scene.height),
    };
    for shape in &scene.shapes {
        match shape {
            Shape::Rectangle { x, y, width, height, color } => {
                for row in y.round() as i64..(y + height).round() as i64 {
                    for column in x.round() as i64..(x + width).round() as i64 {
                        canvas.blend(column, row, *color, 1.0);
                    }
                }
            }
            Shape::Path { points, color } => {
                for pair in points.windows(2) {
                    canvas.line(pair[0], pair[1], *color);
                }
            }
            Shape::Text { x, y, text, anchor, color, large } => {
                let scale = if *large { 2 } else { 1 };
                let width = (text.chars().count() * 8 * scale) as f64;
                canvas.text((x - anchor * width) as i64, *y as i64 - 8 * scale as i64, text, scale, *color);
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, scene.width as u32, scene.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

impl Canvas {
    fn blend(&mut self, x: i64, y: i64, color: Color, share: f64) {
        if x < 0 || y < 0 || x as usize >= self.width || y as usize >= self.height {
            return;
        }
        let at = (y as usize * self.width + x as usize) * 3;
        for (pixel, new) in self.pixels[at..at + 3].iter_mut().zip(color) {
            *pixel = (f64::from(*pixel) * (1.0 - share) + f64::from(new) * share).round() as u8;
        }
    }

    /// A line whose steps are shared by the two nearest pixels (Wu 1991).
    fn line(&mut self, from: (f64, f64), to: (f64, f64), color: Color) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).ceil().clamp(1.0, 20_000.0) as usize;
        for step in 0..=steps {
            let share = step as f64 / steps as f64;
            let (x, y) = (from.0 + dx * share, from.1 + dy * share);
            if dx.abs() >= dy.abs() {
                let low = (y - 0.5).floor();
                let upper = y - 0.5 - low;
                self.blend(x as i64, low as i64, color, 1.0 - upper);
                self.blend(x as i64, low as i64 + 1, color, upper);
            } else {
                let low = (x - 0.5).floor();
                let upper = x - 0.5 - low;
                self.blend(low as i64, y as i64, color, 1.0 - upper);
                self.blend(low as i64 + 1, y as i64, color, upper);
            }
        }
    }

    fn text(&mut self, x: i64, y: i64, text: &str, scale: usize, color: Color) {
        for (at, character) in text.chars().enumerate() {
            let glyph = font8x8::BASIC_FONTS.get(character).or_else(|| font8x8::LATIN_FONTS.get(character));
            // What the font lacks is a box.
            let glyph = glyph.unwrap_or([0x7e, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7e, 0]);
            for (row, bits) in glyph.iter().enumerate() {
                for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                    for pixel in 0..scale * scale {
                        let dx = ((at * 8 + column) * scale + pixel % scale) as i64;
                        self.blend(x + dx, y + (row * scale + pixel / scale) as i64, color, 1.0);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_land_where_they_should() {
        let shapes = vec![
            Shape::Rectangle { x: 2.0, y: 3.0, width: 4.0, height: 2.0, color: [9, 8, 7] },
            Shape::Path { points: vec![(-5.0, 8.5), (500.0, 8.5)], color: [0, 0, 0] },
            Shape::Text {
                x: 1.0, y: 30.0, text: "é≈A".into(), anchor: 0.0, color: [1, 1, 1], large: true
            },
        ];
        let bytes = render(&Scene { width: 60, height: 40, title: String::new(), shapes }).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (60, 40));
        let pixel = |x: usize, y: usize| &pixels[(y * 60 + x) * 3..][..3];
        assert_eq!(pixel(2, 3), [9, 8, 7]);
        assert_eq!(pixel(6, 3), BACKGROUND);
        assert_eq!(pixel(30, 8), [0, 0, 0]);
        assert!((14..30).any(|y| (0..50).any(|x| pixel(x, y) == [1, 1, 1])));
    }
}
