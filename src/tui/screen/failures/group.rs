//! What is told of one group: its mask, when, where in the file, and where it was met before.

use ratatui::text::{Line, Span};

use crate::model::Timestamp;
use crate::operations::failures::{Group, Over, Trend};
use crate::operations::ledger::SeenBefore;
use crate::tui::theme::Theme;
use crate::tui::widget::{bar, figures, text};

/// Cells before a figure.
const LABEL: usize = 8;

/// Lines of at most `cells` cells.
pub fn detail(group: &Group, now: Timestamp, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw(text::fit(&group.message, cells))];
    lines.push(Line::styled(
        text::fit(&when(group, now), cells),
        theme.dim(),
    ));
    let over = match group.spread.over {
        Over::Lines => "  over the file",
        Over::Records => "  in order of writing",
    };
    let room = cells.saturating_sub(LABEL + over.len()).min(64);
    if !group.spread.buckets.is_empty() && 8 <= room {
        lines.push(Line::from(vec![
            Span::styled("spread  ", theme.dim()),
            Span::raw(spark(&group.spread.buckets, room)),
            Span::styled(over, theme.dim()),
        ]));
    }
    let seen = match &group.seen_before {
        Some(seen) => seen_words(seen, now),
        None => "not seen in an earlier run, as far as this machine remembers".to_owned(),
    };
    lines.push(Line::styled(text::fit(&seen, cells), theme.dim()));
    lines
}

fn when(group: &Group, now: Timestamp) -> String {
    let end = |at: Option<Timestamp>, line: Option<u64>| {
        let at = at.map_or_else(|| "?".to_owned(), |at| figures::moment(at, now));
        match line {
            Some(line) => format!("{at} line {}", figures::count(line)),
            None => at,
        }
    };
    let state = group.state.as_ref().map(|it| format!("state {it}"));
    let trend = group.trend.map(Trend::word).map(str::to_owned);
    let parts = [
        state,
        trend,
        Some(format!("first {}", end(group.first, group.first_line))),
        Some(format!("last {}", end(group.last, group.last_line))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("   ")
}

fn seen_words(seen: &SeenBefore, now: Timestamp) -> String {
    let runs = match seen.runs {
        1 => "1 run".to_owned(),
        many => format!("{} runs", figures::count(many)),
    };
    let last = figures::moment(seen.last, now);
    let fixed = seen.fixed_by_redrive.map_or_else(String::new, |at| {
        format!(", last fixed by a redrive {}", figures::moment(at, now))
    });
    format!("seen before in {runs}, last {last}{fixed}")
}

/// Counts as a line of exactly `cells` cells, each a part of the whole.
fn spark(buckets: &[u64], cells: usize) -> String {
    let values: Vec<f64> = (0..cells)
        .map(|cell| {
            let from = cell * buckets.len() / cells;
            let until = ((cell + 1) * buckets.len()).div_ceil(cells).max(from + 1);
            let part = &buckets[from..until.min(buckets.len())];
            part.iter().copied().max().unwrap_or_default() as f64
        })
        .collect();
    let highest = values.iter().copied().fold(0.0, f64::max);
    bar::spark(&values, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_fills_its_cells_whatever_it_has() {
        assert_eq!(spark(&[0, 8], 4), "  ██");
        assert_eq!(spark(&[1, 0, 0, 8], 2), "▁█");
        assert_eq!(spark(&[4], 3), "███");
    }
}
