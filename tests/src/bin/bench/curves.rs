//! Growth curves as an SVG.

use std::fmt::Write as _;

/// How a cost grows with a number; the number's axis is logarithmic.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it shows.
    pub title: String,
    /// Number and cost.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 32.0;

/// All curves, each in a chart of its own, one below the other.
pub fn svg(curves: &[Curve]) -> String {
    let height = HEIGHT * curves.len() as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (number, curve) in curves.iter().enumerate() {
        chart(&mut text, curve, HEIGHT * number as f64);
    }
    text + "</svg>\n"
}

fn chart(text: &mut String, curve: &Curve, top: f64) {
    let most = curve.points.iter().map(|point| point.1).fold(0.0, f64::max);
    let ceiling = if most > 0.0 { most * 1.15 } else { 1.0 };
    let (first, last) = (curve.points.first().map_or(1.0, |p| p.0), curve.points.last().map_or(1.0, |p| p.0));
    let decades = (last / first).ln().max(f64::MIN_POSITIVE);
    let x = |number: f64| LEFT + (WIDTH - LEFT - RIGHT) * (number / first).ln() / decades;
    let floor = top + HEIGHT - BOTTOM;
    let y = |cost: f64| floor - (HEIGHT - TOP - BOTTOM) * cost / ceiling;
    let mut put = |line: String| {
        let _never_fails = writeln!(text, "{line}");
    };
    put(format!("<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>", top + 20.0, curve.title));
    put(format!(
        "<path d=\"M{LEFT} {:.1}V{floor:.1}H{:.1}\" fill=\"none\" stroke=\"#888\"/>",
        top + TOP,
        WIDTH - RIGHT
    ));
    put(format!("<text x=\"{:.1}\" y=\"{floor:.1}\" text-anchor=\"end\">0</text>", LEFT - 6.0));
    let places: Vec<_> =
        curve.points.iter().map(|(number, cost)| format!("{:.1},{:.1}", x(*number), y(*cost))).collect();
    put(format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/>",
        places.join(" ")
    ));
    for (number, cost) in &curve.points {
        let (x, y) = (x(*number), y(*cost));
        put(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#1f6feb\"/>"));
        put(format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{cost:.1}</text>", y - 7.0));
        put(format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>", floor + 16.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_within_its_own_chart() {
        let curve = |title: &str| Curve {
            title: title.to_owned(),
            points: vec![(1.0, 2.0), (10.0, 4.0), (100.0, 8.0)],
        };
        let text = svg(&[curve("one"), curve("two")]);
        let heights: Vec<f64> = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("<circle")?.split("cy=\"").nth(1)?.split('"').next()?.parse().ok()
            })
            .collect();
        assert_eq!(heights.len(), 6);
        assert!(heights[0] > heights[1] && heights[1] > heights[2], "{heights:?}");
        assert!(heights[..3].iter().all(|y| (0.0..HEIGHT).contains(y)), "{heights:?}");
        assert!(heights[3..].iter().all(|y| (HEIGHT..2.0 * HEIGHT).contains(y)), "{heights:?}");
    }

    #[test]
    fn a_single_point_of_no_cost_is_a_picture_too() {
        let text = svg(&[Curve { title: "none".to_owned(), points: vec![(1.0, 0.0)] }]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
