//! What ends with the dashboard, and what goes on without it.

use crate::tui::app::App;

impl App {
    /// Runs that go on and end for good with the dashboard, but for those that nobody asks about.
    pub(super) fn lost_by_quitting(&self) -> Vec<&str> {
        let Some(known) = &self.settings.ends else {
            return Vec::new();
        };
        let executions = self.live.executions().into_iter();
        executions
            .filter(|it| !it.status.is_closed() && !known.contains(&it.name))
            .map(|it| it.name.as_str())
            .collect()
    }

    /// The line left on the terminal after quitting: what still runs and how to come back.
    pub fn farewell(&self) -> Option<String> {
        let running: Vec<&str> = self
            .live
            .executions()
            .into_iter()
            .filter(|it| !it.status.is_closed())
            .map(|it| it.name.as_str())
            .collect();
        let text = match running[..] {
            [] => return None,
            [one] => format!("{one} is still running"),
            [first, ..] => format!("{first} and {} more are still running", running.len() - 1),
        };
        if self.settings.ends.is_some() {
            let own = self.lost_by_quitting();
            let own = (!own.is_empty()).then(|| own.join(", "))?;
            let safe = crate::tui::widget::text::visible(&own);
            return Some(format!("ended with the demo: {safe}"));
        }
        let local = self.health.connection.local;
        let come_back = if local {
            "`fanout` goes on with the local engine"
        } else {
            "`fanout` comes back to it"
        };
        let safe = crate::tui::widget::text::visible(&text);
        Some(format!("{safe}; {come_back}"))
    }
}
