//! The sign-in has ended: what is shown stays, and one dialog says what to run.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::text::Line;

use crate::tui::app::App;
use crate::tui::dialog::{Focus, Reaction, presses};
use crate::tui::event::Effect;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{Button, View};
use crate::tui::widget::list::Scroll;
use crate::tui::widget::text;

#[derive(Debug, Clone)]
pub struct SignIn {
    /// What the service said.
    reason: String,
    pub focus: Focus,
    pub scroll: Scroll,
}

impl SignIn {
    pub fn open(reason: String) -> Self {
        Self {
            reason,
            focus: Focus::on_cancel(0, 3),
            scroll: Scroll::default(),
        }
    }

    /// `again` connects anew, `command` is what signs in.
    pub fn key(&mut self, key: KeyEvent, again: Effect, command: Option<&[String]>) -> Reaction {
        let run = || command.map(|command| Effect::Lend(command.to_vec()));
        match key.code {
            KeyCode::Esc => return Reaction::Close(Vec::new()),
            KeyCode::Char('l') => return Reaction::Stay(run().into_iter().collect()),
            KeyCode::Char('r') => return Reaction::Stay(vec![again]),
            _ => {}
        }
        if self.focus.key(key) || !presses(key) {
            return Reaction::nothing();
        }
        match self.focus.button() {
            Some(0) => Reaction::Close(Vec::new()),
            Some(1) => Reaction::Stay(vec![again]),
            _ => Reaction::Stay(run().into_iter().collect()),
        }
    }

    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        let label = app.health.connection.label.clone();
        let mut lines = vec![Line::default()];
        let reason = text::wrap(&self.reason, cells, 4);
        lines.extend(reason.into_iter().map(|it| Line::styled(it, theme.bad())));
        lines.push(Line::default());
        let kept = "What is shown stays as it was, dimmed. Runs on AWS go on.";
        lines.extend(text::wrap(kept, cells, 2).into_iter().map(Line::raw));
        lines.push(Line::default());
        let command = app.sign_in_command();
        let ways = match &command {
            Some(command) => vec![
                format!("l  runs `{}` here, then goes on", command.join(" ")),
                "r  tries again, after you signed in elsewhere".to_owned(),
            ],
            None => vec![
                format!("Renew the credentials of {label}: they come from ~/.aws/credentials,"),
                "the environment or a program, so there is no command to run.".to_owned(),
                "r  tries again".to_owned(),
            ],
        };
        let ways = ways.into_iter().map(|it| Line::raw(text::fit(&it, cells)));
        lines.extend(ways);
        lines.push(Line::styled(
            "fanout tries by itself every 10 s",
            theme.dim(),
        ));
        let runs = match &command {
            Some(_) => Ok(()),
            None => Err("nothing is known that would sign in".to_owned()),
        };
        View {
            title: format!("Sign in again: {}", text::middle(&label, 40)),
            lines,
            focused_line: None,
            buttons: vec![
                Button::new("Later", Ok(())),
                Button::new("Try again", Ok(())),
                Button::new("Sign in", runs),
            ],
            focused_button: self.focus.button(),
            command: command.map(|it| it.join(" ")),
        }
    }
}
