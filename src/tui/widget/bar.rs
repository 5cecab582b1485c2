//! Bars and sparklines.

use ratatui::style::Style;
use ratatui::text::Span;

/// One part of a stacked bar.
pub struct Part {
    pub amount: u64,
    pub glyph: &'static str,
    pub style: Style,
}

/// A bar of exactly `cells` cells. A part that is there at all gets a cell of its own, so that one
/// failure in a million is seen; the largest part pays for it.
pub fn stacked(parts: &[Part], total: u64, cells: usize) -> Vec<Span<'static>> {
    let total = total.max(parts.iter().map(|part| part.amount).sum()).max(1);
    let mut lengths: Vec<usize> = parts
        .iter()
        .map(|part| length(part.amount, total, cells))
        .collect();
    while lengths.iter().sum::<usize>() > cells {
        match lengths.iter_mut().max() {
            Some(longest) if *longest > 0 => *longest -= 1,
            _ => break,
        }
    }
    let used: usize = lengths.iter().sum();
    let mut spans: Vec<Span<'static>> = parts
        .iter()
        .zip(lengths)
        .map(|(part, length)| Span::styled(part.glyph.repeat(length), part.style))
        .collect();
    spans.push(Span::raw("░".repeat(cells.saturating_sub(used))));
    spans
}

fn length(amount: u64, total: u64, cells: usize) -> usize {
    let exact = u128::from(amount) * cells as u128 / u128::from(total);
    match (amount, exact) {
        (0, _) => 0,
        (_, 0) => 1,
        (_, exact) => exact as usize,
    }
}

/// `values` as a row of eighth blocks, the highest being full. Zero and unknown stay blank.
pub fn spark(values: &[f64], highest: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    values
        .iter()
        .map(|value| {
            if *value <= 0.0 || highest <= 0.0 {
                return ' ';
            }
            let step = (value / highest * 8.0).ceil() as usize;
            BLOCKS[step.clamp(1, 8) - 1]
        })
        .collect()
}

/// The same over `height` lines, top line first.
pub fn chart(values: &[f64], highest: f64, height: usize) -> Vec<String> {
    let step = highest / height.max(1) as f64;
    (0..height)
        .rev()
        .map(|row| {
            let above: Vec<f64> = values
                .iter()
                .map(|value| (value - step * row as f64).clamp(0.0, step))
                .collect();
            spark(&above, step)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spans: &[Span<'_>]) -> String {
        spans.iter().map(|span| span.content.as_ref()).collect()
    }

    fn part(amount: u64, glyph: &'static str) -> Part {
        Part {
            amount,
            glyph,
            style: Style::new(),
        }
    }

    #[test]
    fn one_failure_in_a_million_is_seen() {
        let bar = stacked(&[part(999_999, "█"), part(1, "▓")], 1_000_000, 10);
        assert_eq!(text(&bar), "█████████▓");
        assert_eq!(text(&stacked(&[part(1, "█")], 1_000_000, 10)), "█░░░░░░░░░");
    }

    #[test]
    fn a_total_that_lags_behind_does_not_overflow_the_bar() {
        let bar = stacked(&[part(30, "█"), part(10, "▓")], 5, 8);
        assert_eq!(text(&bar), "██████▓▓");
    }

    #[test]
    fn charts_fill_from_the_bottom() {
        assert_eq!(chart(&[1.0, 2.0, 0.0], 2.0, 2), [" █ ", "██ "]);
    }
}
