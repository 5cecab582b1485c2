//! What is said, and what follows from how something ended.

use crate::model::{ExecutionArn, MapRunArn};
use crate::operations::journal::Interrupted;
use crate::operations::rerun::canary;
use crate::tui::app::{App, Message};
use crate::tui::data::Remote;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::resume::Resume;
use crate::tui::event::{Ask, Cause, Deed, Effect, Reply, Trouble};
use crate::tui::keys::Action;
use crate::tui::pace::Tone;
use crate::tui::screen::Screen;

impl App {
    pub fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.message = Some(Message {
            text: text.into(),
            tone,
            at: self.now,
            of_key: false,
        });
    }

    /// Says why an ask got no answer. Being slowed is shown in the header, not here.
    pub(super) fn complain<T>(&mut self, reply: &Reply<T>) {
        match reply {
            Ok(_) => self.recover(),
            Err(trouble) if trouble.slowed => {}
            Err(trouble) => self.say_trouble(trouble),
        }
    }

    pub(super) fn say_trouble(&mut self, trouble: &Trouble) {
        if trouble.cause == Cause::SignedOut {
            return self.expire(&trouble.text);
        }
        let text = match &trouble.hint {
            Some(hint) => format!("{} — {hint}", trouble.text),
            None => trouble.text.clone(),
        };
        self.say(Tone::Bad, text);
    }

    pub(super) fn found(&mut self, name: &str, reply: Reply<ExecutionArn>) {
        match reply {
            Ok(arn) => self.show(Screen::live(arn)),
            Err(trouble) => self.say(Tone::Warn, format!("{name} is not open: {}", trouble.text)),
        }
    }

    pub(super) fn started(&mut self, name: &str, reply: Reply<ExecutionArn>) -> Vec<Effect> {
        let said = reply.as_ref().map(|_| "started".to_owned());
        let said = said.map_err(Clone::clone);
        self.transfers.ended(&Deed::Start(name.to_owned()), &said);
        match reply {
            Ok(arn) => {
                self.say(Tone::Good, format!("✓ started {name}"));
                let is_home = self.stack.len() == 1 && self.dialog.is_none();
                if is_home && self.overlay.is_none() {
                    self.show(Screen::live(arn));
                }
                vec![Effect::Refresh]
            }
            Err(trouble) => {
                self.say_trouble(&trouble);
                Vec::new()
            }
        }
    }

    /// The dialog that waits for it asks about the rest; without one it is only told.
    pub(super) fn canary_ended(
        &mut self,
        arn: &ExecutionArn,
        reply: Reply<Box<canary::Ended>>,
    ) -> Vec<Effect> {
        if let Some(Dialog::Redrive(dialog)) = &mut self.dialog
            && dialog.execution == *arn
            && dialog.awaits_canary()
        {
            return dialog.put_canary(reply);
        }
        match reply {
            Ok(ended) => {
                let tone = if ended.failed == 0 {
                    Tone::Good
                } else {
                    Tone::Warn
                };
                self.say(tone, ended.words());
            }
            Err(trouble) => self.say_trouble(&trouble),
        }
        Vec::new()
    }

    /// Tells of operations that were interrupted: at the start, and in the dialog.
    pub(super) fn interrupted(&mut self, reply: Reply<Vec<Interrupted>>) {
        self.complain(&reply);
        let is_first = matches!(self.target.interrupted, Remote::Waiting);
        if let (true, Ok(found @ [newest, ..])) = (is_first, reply.as_deref()) {
            let (left, all) = (newest.left, newest.items);
            let text = match found.len() {
                1 => format!(
                    "an operation was interrupted, {left} of {all} are left: {}",
                    newest.what
                ),
                many => format!("{many} operations were interrupted"),
            };
            self.say(Tone::Warn, format!("`:resume` goes on: {text}"));
        }
        self.target.interrupted.put(reply, self.now);
        if let (Some(Dialog::Resume(dialog)), Some(found)) =
            (&mut self.dialog, self.target.interrupted.get())
        {
            dialog.put(found.clone());
        }
    }

    pub(super) fn open_resume(&mut self) -> Vec<Effect> {
        let known = self.target.interrupted.get().cloned();
        self.dialog = Some(Dialog::Resume(Box::new(Resume::open(
            known.unwrap_or_default(),
        ))));
        vec![Effect::Ask(Ask::Interrupted)]
    }

    pub(super) fn done(&mut self, deed: &Deed, reply: Reply<String>) -> Vec<Effect> {
        let reply = reply.map_err(|trouble| self.with_key(deed, trouble));
        self.transfers.ended(deed, &reply);
        if let Deed::Search(address) = deed {
            self.search_ended(address, &reply);
        }
        if let (Deed::DryRun(name), Some(Dialog::Start(dialog))) = (deed, &mut self.dialog)
            && dialog.put_trial(name, &reply)
        {
            return Vec::new();
        }
        match &reply {
            Ok(text) => self.say(Tone::Good, format!("✓ {text}")),
            Err(trouble) => self.say_trouble(trouble),
        }
        if let Deed::Redrive(arn) | Deed::Rerun(arn) = deed {
            // Its lines are to be counted anew.
            self.live.reconciliations.remove(arn);
        }
        if let (Deed::Merge(arn), Ok(_)) = (deed, &reply) {
            // There is one object more.
            let run = self.live.run(arn).cloned();
            let ask = run.map(|run| Effect::Ask(self.listing(run)));
            return ask.into_iter().collect();
        }
        // What was changed is looked at again at once, and its polls begin anew.
        let again = match deed {
            Deed::Redrive(arn) | Deed::Stop(arn) => Some(arn.clone()),
            Deed::Limits(map_run) => self.owner(map_run),
            Deed::Template(_) if reply.is_ok() => return vec![Effect::Ask(Ask::Templates)],
            Deed::Start(_)
            | Deed::Rerun(_)
            | Deed::Merge(_)
            | Deed::RedriveAll
            | Deed::Download(_)
            | Deed::Export(_)
            | Deed::Search(_)
            | Deed::Template(_)
            | Deed::DryRun(_) => None,
        };
        match (reply, again) {
            (Ok(_), Some(arn)) => vec![Effect::Refresh, Effect::Ask(Ask::Describe(arn))],
            (Ok(_), None) if matches!(deed, Deed::Rerun(_) | Deed::RedriveAll) => {
                vec![Effect::Refresh]
            }
            _ => Vec::new(),
        }
    }

    /// With the key that helps, where a verb would have a flag.
    fn with_key(&self, deed: &Deed, mut trouble: Trouble) -> Trouble {
        if matches!((deed, &trouble.cause), (Deed::Download(_), Cause::Refused)) {
            let key = self.keymap.key_of(Action::Download);
            trouble.hint = Some(format!("{key} asks for another place"));
        }
        trouble
    }

    pub(super) fn owner(&self, map_run: &MapRunArn) -> Option<ExecutionArn> {
        let mut runs = self.live.runs.iter();
        let (arn, _) = runs.find(|(_, run)| {
            let has = |run: &crate::operations::runs::Run| {
                run.map_runs.iter().any(|it| it.arn == *map_run)
            };
            run.get().is_some_and(has)
        })?;
        Some(arn.clone())
    }
}
