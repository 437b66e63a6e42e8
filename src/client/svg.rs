//! A picture as SVG.

use std::fmt::Write as _;

use super::chart::{Color, Scene, Shape};

/// The document.
pub(super) fn render(scene: &Scene) -> String {
    let Scene { width, height, .. } = scene;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\">\n<title>{}</title>\n",
        escape(&scene.title)
    );
    for shape in &scene.shapes {
        // Writing to a string can't fail.
        let _ = match shape {
            Shape::Rectangle { x, y, width, height, color } => writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"/>",
                hex(*color)
            ),
            Shape::Path { points, color } => {
                let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                writeln!(
                    out,
                    "<polyline fill=\"none\" stroke=\"{}\" stroke-linejoin=\"round\" points=\"{}\"/>",
                    hex(*color),
                    points.join(" ")
                )
            }
            Shape::Text { x, y, text, anchor, color, large } => writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" text-anchor=\"{}\" fill=\"{}\">{}</text>",
                if *large { 17 } else { 12 },
                match *anchor {
                    a if a < 0.25 => "start",
                    a if a < 0.75 => "middle",
                    _ => "end",
                },
                hex(*color),
                escape(text)
            ),
        };
    }
    out.push_str("</svg>\n");
    out
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let shape = Shape::Text {
            x: 0.0,
            y: 1.0,
            text: "a<b & \"c\"".into(),
            anchor: 0.0,
            color: [0, 0, 255],
            large: false,
        };
        let scene = Scene { width: 10, height: 10, title: "<t>".into(), shapes: vec![shape] };
        let svg = render(&scene);
        assert!(
            svg.contains("a&lt;b &amp; &quot;c&quot;")
                && svg.contains("#0000ff")
                && svg.contains("&lt;t&gt;"),
            "{svg}"
        );
    }
}
