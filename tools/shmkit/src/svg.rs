//! The picture of pages as SVG, light or dark as its viewer is.

use crate::pages::Pages;
use crate::size::human;

const COLUMNS: usize = 64;
/// From one mark to the next.
const STEP: usize = 12;
const MARGIN: usize = 24;
const WIDTH: usize = 2 * MARGIN + 80 + COLUMNS * STEP;
/// What a viewer draws at once without waiting.
const MOST_MARKS: u64 = 4096;

const STYLE: &str = "\
.back { fill: #ffffff } .title { fill: #1c2733; font: 600 16px sans-serif } \
.note { fill: #6b7785; font: 12px sans-serif } .p0 { fill: #e6eaee } .p1 { fill: #b9e0cd } \
.p2 { fill: #86cbab } .p3 { fill: #4fb388 } .p4 { fill: #17996a } \
@media (prefers-color-scheme: dark) { .back { fill: #14191f } .title { fill: #e8edf2 } \
.note { fill: #8a97a5 } .p0 { fill: #2a323b } .p1 { fill: #1f4a3a } .p2 { fill: #246b52 } \
.p3 { fill: #2a9a72 } .p4 { fill: #35c892 } }";

/// The objects one below the other, each under its title.
pub fn draw(objects: &[(String, Pages)]) -> String {
    let mut body = String::new();
    let mut y = MARGIN;
    for (title, pages) in objects {
        y = one(&mut body, y, title, pages) + MARGIN;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\">\n\
         <style>{STYLE}</style>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
    )
}

/// Where the next one may begin.
fn one(body: &mut String, top: usize, title: &str, pages: &Pages) -> usize {
    let (each, marks) = pages.marks(MOST_MARKS);
    let text = |x: usize, y: usize, class: &str, anchor: &str, text: &str| {
        format!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>\n",
            escaped(text)
        )
    };
    *body += &text(MARGIN, top + 16, "title", "start", title);
    *body += &text(MARGIN, top + 36, "note", "start", &pages.sentence());
    let (left, first) = (MARGIN + 80, top + 52);
    for (row, line) in marks.chunks(COLUMNS).enumerate() {
        let y = first + row * STEP;
        if row % 4 == 0 {
            let offset = human((row * COLUMNS) as u64 * each * pages.page_size);
            *body += &text(left - 12, y + STEP - 3, "note", "end", &offset);
        }
        for (column, mark) in line.iter().enumerate() {
            let (x, side) = (left + column * STEP, STEP - 2);
            *body += &format!(
                "<rect class=\"p{mark}\" x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" rx=\"2\"/>\n"
            );
        }
    }
    let bottom = first + marks.len().div_ceil(COLUMNS) * STEP + 12;
    let mut x = left;
    let legend: &[(u8, &str)] = match each {
        1 => &[(4, "in memory"), (0, "not in memory")],
        _ => &[(4, "in memory"), (2, "partly"), (0, "not in memory")],
    };
    for (mark, name) in legend {
        *body += &format!(
            "<rect class=\"p{mark}\" x=\"{x}\" y=\"{bottom}\" width=\"10\" height=\"10\" rx=\"2\"/>\n"
        );
        *body += &text(x + 16, bottom + 9, "note", "start", name);
        x += 36 + 7 * name.len();
    }
    let unit = match each {
        1 => format!("each square is a page of {}", human(pages.page_size)),
        each => format!("each square is {each} pages, {}", human(each * pages.page_size)),
    };
    *body += &text(left + COLUMNS * STEP - 2, bottom + 9, "note", "end", &unit);
    bottom + 16
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
