//! The drawer of transfers: what is under way with its speed, and how the last ones ended.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use crate::tui::app::App;
use crate::tui::event::{Deed, Effect};
use crate::tui::transfers::{State, Transfer};
use crate::tui::widget::list::Cursor;
use crate::tui::widget::{figures, pane, text};

/// Rows at the most, and at the least.
const ROWS: (u16, u16) = (12, 3);
/// Cells of a bar.
const BAR: usize = 16;

pub fn draw(app: &App, buffer: &mut Buffer, body: Rect, cursor: &Cursor) {
    let theme = app.theme();
    let all = app.transfers.all();
    let rows = (all.len() as u16).clamp(ROWS.1, ROWS.0);
    let height = (rows + 2).min(body.height);
    let area = Rect::new(body.x, body.bottom() - height, body.width, height);
    Clear.render(area, buffer);
    let going = app.transfers.going().count();
    let title = match (all.len(), going) {
        (0, _) => "Transfers".to_owned(),
        (all, 0) => format!("Transfers  {all} ended"),
        (all, going) => format!("Transfers  {going} under way, {} ended", all - going),
    };
    let inside = pane::boxed(buffer, area, &title, Style::new());
    if all.is_empty() {
        let said = "nothing is uploaded, downloaded, merged or searched";
        return pane::line(buffer, inside, 0, Line::styled(said, theme.dim()));
    }
    let chosen = cursor.row(all.len());
    let shown = cursor.window(all.len(), inside.height as usize);
    for (row, index) in (0..).zip(shown) {
        let transfer = &all[index];
        let style = match transfer.state {
            State::Failed(_) => theme.bad(),
            State::Done(_) => theme.good(),
            State::Cancelled => theme.dim(),
            State::Going => Style::new(),
        };
        let mark = if index == chosen { "▸ " } else { "  " };
        let cells = (inside.width as usize).saturating_sub(2);
        let line = text::fit(&line(transfer, cells), cells);
        let line = Line::from(vec![Span::raw(mark), Span::styled(line, style)]);
        pane::line(buffer, inside, row, line);
        if index == chosen {
            let row = Rect::new(inside.x, inside.y + row, inside.width, 1);
            buffer.set_style(row, theme.chosen());
        }
    }
}

fn line(transfer: &Transfer, cells: usize) -> String {
    let wide = cells >= 90;
    let room = if wide { 30 } else { 18 };
    let name = |name: &str| text::left(&text::middle(name, room), room);
    let what = match &transfer.deed {
        Deed::Start(run) => format!("↑ {}", name(run)),
        Deed::Search(address) => format!("/ {}", name(address.file_name())),
        Deed::Download(address) => format!("↓ {}", name(address.file_name())),
        Deed::Rerun(run) => format!("↑ {}", name(run.name())),
        Deed::Merge(run) => format!("⇄ {}", name(run.name())),
        _ => String::new(),
    };
    let target = match &transfer.again {
        Some(Effect::Download(_, folder)) if wide && transfer.is_going() => {
            let folder = text::middle(&folder.display().to_string(), 20);
            format!("→ {}  ", text::left(&folder, 20))
        }
        Some(Effect::Merge(plan)) if wide && transfer.is_going() => {
            let to = text::middle(&plan.to.to_string(), 20);
            format!("→ {}  ", text::left(&to, 20))
        }
        _ => String::new(),
    };
    let progress = transfer.progress;
    let told = match &transfer.state {
        State::Done(said) => format!("{}  {said}", figures::bytes(progress.total)),
        State::Failed(why) => format!("✗ {why}"),
        State::Cancelled => format!("cancelled after {}", figures::bytes(progress.done)),
        State::Going => {
            let share =
                (u128::from(progress.done) * BAR as u128).checked_div(u128::from(progress.total));
            let full = (share.unwrap_or(0) as usize).min(BAR);
            let bar = "█".repeat(full) + &"░".repeat(BAR - full);
            let percent = figures::whole_percent(progress.done, progress.total);
            let done = figures::bytes(progress.done);
            let total = figures::bytes(progress.total);
            let speed = transfer.speed();
            let speed = speed.map(|it| format!("  {}/s", figures::bytes(it)));
            let left = transfer.left().map(|it| format!("  {}", figures::span(it)));
            format!(
                "{bar} {percent:>4}  {done} of {total}{}{}",
                speed.unwrap_or_default(),
                left.unwrap_or_default()
            )
        }
    };
    format!("{what}  {target}{told}")
}

#[cfg(test)]
mod tests {
    use crate::model::Object;
    use crate::operations::Progress;
    use crate::operations::outputs::{Kind, Listing};
    use crate::tui::event::{Deed, Effect, Event};
    use crate::tui::harness::{Harness, PART, ago, arn, health, output, trouble};

    fn objects() -> Vec<Object> {
        let names = [
            "ledger/output.csv",
            "map/FAILED_0.json",
            "map/SUCCEEDED_0.json",
        ];
        let names = names.into_iter();
        names
            .map(|name| output(Kind::Final, name, 398_200_000).object)
            .collect()
    }

    fn begun() -> Harness {
        let mut harness = Harness::sample().keys("jj4");
        let outputs = objects().into_iter();
        let outputs = outputs.map(|it| output(Kind::Final, &it.address.key, it.size));
        harness.send(Event::Outputs(
            arn(PART),
            Ok(Listing::of(outputs.collect())),
        ));
        harness.keys("D<enter>jD<enter>jD<enter>")
    }

    fn deed(index: usize) -> Deed {
        Deed::Download(objects()[index].address.clone())
    }

    fn after(harness: &mut Harness, seconds: i64, done: u64) {
        harness.send(Event::Now(ago(-seconds), Box::new(health())));
        let progress = Progress {
            done,
            total: 398_200_000,
        };
        harness.send(Event::Progress(deed(0), progress));
    }

    #[test]
    fn the_drawer_shows_what_is_under_way_and_what_came_of_the_others() {
        let mut harness = begun();
        after(&mut harness, 1, 55_000_000);
        after(&mut harness, 6, 255_000_000);
        let done = "downloaded to downloads/FAILED_0.json, crc64nvme ok".to_owned();
        harness.send(Event::Done(deed(1), Ok(done)));
        let lost = trouble("GetObject of s3://b/k failed: no connection: 9 bytes before the end");
        harness.send(Event::Done(deed(2), Err(lost)));
        harness.keys("T").check("transfers");
    }

    #[test]
    fn a_transfer_is_cancelled_and_tried_again() {
        let mut harness = begun();
        harness.taken();
        let mut harness = harness.keys("TGx");
        assert!(harness.taken().contains(&Effect::Cancel(deed(0))));
        let mut harness = harness.keys("r");
        let asked = harness.taken();
        let is_it =
            |it: &Effect| matches!(it, Effect::Download(object, _) if *object == objects()[0]);
        assert!(asked.iter().any(is_it), "{asked:?}");
        let harness = harness.keys("T<esc>");
        assert!(harness.app.overlay.is_none());
    }

    #[test]
    fn quitting_asks_while_something_is_under_way_and_says_what_goes_on() {
        let mut harness = begun().keys("<ctrl-c>");
        assert!(!harness.taken().contains(&Effect::Quit));
        let frame = harness.frame(200, 60);
        assert!(frame.contains("3 downloads (asked for again"), "{frame}");
        assert!(harness.keys("<ctrl-c>").taken().contains(&Effect::Quit));
    }
}
