//! The README's picture: what the demo shows while it runs, from the cells of a real terminal to
//! `assets/dashboard.svg`.

use std::fmt::Write as _;
use std::path::Path;

use super::{Terminal, parser};

const COLUMNS: u16 = 120;
const ROWS: u16 = 36;

/// Of a cell, in pixels.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 17.0;
const BASELINE: f64 = 13.0;
const MARGIN: f64 = 12.0;

const FONTS: &str = "ui-monospace, SF Mono, Menlo, Consolas, DejaVu Sans Mono, monospace";
const PAPER: &str = "#12151c";
const INK: &str = "#ccd2de";
/// The sixteen colours of a terminal, dark and then bright.
const SIXTEEN: [&str; 16] = [
    "#232936", "#ef6b73", "#7fcf7a", "#e6b450", "#6aa5f0", "#c58af0", "#56c7d6", "#ccd2de",
    "#5d677a", "#ff8a90", "#a0e69b", "#ffd479", "#94c2ff", "#dcb0ff", "#84e2ee", "#f4f6fa",
];

#[derive(Debug, Clone, PartialEq)]
struct Style {
    ink: String,
    paper: Option<String>,
    bold: bool,
    faint: bool,
    underlined: bool,
}

fn colour(color: vt100::Color) -> Option<String> {
    match color {
        vt100::Color::Default => None,
        vt100::Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        vt100::Color::Idx(index @ 0..16) => Some(SIXTEEN[usize::from(index)].to_owned()),
        // Six steps of each colour, then greys, as xterm has them.
        vt100::Color::Idx(index @ 16..232) => {
            let step = |n: u8| [0, 95, 135, 175, 215, 255][usize::from(n % 6)];
            let cube = index - 16;
            let [r, g, b] = [step(cube / 36), step(cube / 6), step(cube)];
            Some(format!("#{r:02x}{g:02x}{b:02x}"))
        }
        vt100::Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
    }
}

fn style(cell: &vt100::Cell) -> Style {
    let (mut ink, mut paper) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
    if cell.inverse() {
        let swapped = paper.unwrap_or_else(|| PAPER.to_owned());
        paper = Some(ink.unwrap_or_else(|| INK.to_owned()));
        ink = Some(swapped);
    }
    Style {
        ink: ink.unwrap_or_else(|| INK.to_owned()),
        paper,
        bold: cell.bold(),
        faint: cell.dim(),
        underlined: cell.underline(),
    }
}

/// A row as pieces that look alike: first column, columns, style, text. They end where two cells
/// are empty, so that what comes next stands in its column whatever the font.
fn pieces(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<(u16, u16, Style, String)> {
    let mut pieces: Vec<(u16, u16, Style, String)> = Vec::new();
    let is_empty = |column: u16| {
        screen.cell(row, column).is_none_or(|cell| {
            let style = style(cell);
            cell.contents().trim().is_empty()
                && !cell.is_wide_continuation()
                && style.paper.is_none()
                && !style.underlined
        })
    };
    let mut is_open = false;
    for column in 0..columns {
        if is_empty(column) && (!is_open || is_empty(column + 1)) {
            is_open = false;
            continue;
        }
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        let width = match (cell.is_wide_continuation(), cell.is_wide()) {
            (true, _) => continue,
            (_, true) => 2,
            _ => 1,
        };
        let text = match cell.contents() {
            "" => " ",
            text => text,
        };
        let style = style(cell);
        match pieces.last_mut() {
            Some((_, columns, last, all)) if is_open && *last == style => {
                *columns += width;
                all.push_str(text);
            }
            _ => pieces.push((column, width, style, text.to_owned())),
        }
        is_open = true;
    }
    pieces
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The screen as an SVG image of its own: no fonts, scripts or links.
fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let width = f64::from(columns.get()) * WIDTH + 2.0 * MARGIN;
    let height = f64::from(rows.get()) * HEIGHT + 2.0 * MARGIN;
    let mut image = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
        <title>The dashboard of fanout while a run is going</title>\n\
        <style>.b {{ font-weight: bold }} .f {{ opacity: .6 }} .u {{ text-decoration: underline }}\
        </style>\n\
        <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{PAPER}\"/>\n\
        <g font-family=\"{FONTS}\" font-size=\"14\">\n"
    );
    for row in 0..rows.get() {
        let top = MARGIN + f64::from(row) * HEIGHT;
        for (column, columns, style, text) in pieces(screen, row, columns.get()) {
            let left = MARGIN + f64::from(column) * WIDTH;
            let wide = f64::from(columns) * WIDTH;
            if let Some(paper) = &style.paper {
                let _ = writeln!(
                    image,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
                );
            }
            if text.trim().is_empty() && !style.underlined {
                continue;
            }
            let classes: String = [
                ('b', style.bold),
                ('f', style.faint),
                ('u', style.underlined),
            ]
            .into_iter()
            .filter(|(_, is_so)| *is_so)
            .flat_map(|(class, _)| [class, ' '])
            .collect();
            let class = match classes.trim() {
                "" => String::new(),
                classes => format!(" class=\"{classes}\""),
            };
            // The length holds columns together whatever the font.
            let _ = writeln!(
                image,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{wide:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" fill=\"{}\"{class}>{}</text>",
                top + BASELINE,
                style.ink,
                escaped(&text)
            );
        }
    }
    image + "</g>\n</svg>\n"
}

/// How much of the run the bar says is done, per cent.
fn done(shown: &str) -> Option<f64> {
    let bar = shown
        .lines()
        .find(|line| line.contains(" % ") && line.contains('█'))?;
    let before = bar.split(" % ").next()?;
    before.split_whitespace().last()?.parse().ok()
}

#[test]
#[ignore = "makes assets/dashboard.svg anew: cargo test --test it picture_of -- --ignored"]
fn picture_of_the_dashboard() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(
        home.path(),
        env!("CARGO_BIN_EXE_fanout"),
        &["demo"],
        COLUMNS,
        ROWS,
    );
    terminal.wait_until("half of the run, and groups of failures", |shown| {
        done(shown).is_some_and(|percent| 45.0 < percent) && shown.contains("Groups")
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/dashboard.svg");
    std::fs::write(path, svg(terminal.screen.screen())).unwrap();
    terminal.press("\x03");
    terminal.ended();
}

#[test]
fn a_screen_becomes_an_image_of_its_cells() {
    let mut terminal = parser(12, 2);
    terminal.process("a<b \x1b[1;31mred\x1b[0m\r\n\x1b[7m日本\x1b[0m \x1b[38;5;114mx".as_bytes());
    let image = svg(terminal.screen());
    for part in [
        ">a&lt;b </text>",
        "fill=\"#ef6b73\" class=\"b\">red</text>",
        // Two wide characters reversed: four columns.
        "width=\"33.6\" height=\"17\" fill=\"#ccd2de\"/>",
        "textLength=\"33.6\"",
        "fill=\"#87d787\">x",
    ] {
        assert!(image.contains(part), "{part} in {image}");
    }
    assert_eq!(image.matches("<text ").count(), 4, "{image}");
}
