//! Where what comes from outside goes: keys to whatever has them, replies to the data or the dialog
//! that they are about.

use crossterm::event::KeyEventKind;

use crate::tui::app::{App, LOOKED_AWAY};
use crate::tui::dialog::Dialog;
use crate::tui::event::{Cause, Deed, Effect, Event, Trouble};
use crate::tui::pace::Tone;
use crate::tui::screen::Screen;
use crate::tui::screen::outputs::Rest;
use crate::tui::widget::figures;

impl App {
    pub(super) fn take(&mut self, event: Event) -> Vec<Effect> {
        let now = self.now;
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => return self.key(key),
            Event::Mouse(event) => return self.take_mouse(event),
            Event::Focus(is_focused) => {
                self.is_focused = is_focused;
                let is_old = self.data_age().is_some_and(|age| age > LOOKED_AWAY);
                let refresh = (is_focused && is_old).then_some(Effect::Refresh);
                let watched = Effect::Watched(is_focused);
                return std::iter::once(watched).chain(refresh).collect();
            }
            Event::Copied(count, way) => {
                let what = self.copying.take();
                let what =
                    what.unwrap_or_else(|| format!("{} characters", figures::count(count as u64)));
                self.say(Tone::Good, format!("copied {what} with {way}"));
            }
            Event::NotCopied(text) => {
                let count = figures::count(text.chars().count() as u64);
                let what = self.copying.take();
                let what = what.unwrap_or_else(|| format!("{count} characters"));
                self.say(
                    Tone::Good,
                    format!("copied {what} through the terminal (OSC 52)"),
                );
                return vec![Effect::CopyByTerminal(text)];
            }
            Event::Paste(pasted) => return self.paste(&pasted),
            Event::Now(now, health) => {
                self.tick(now, *health);
                return self.due();
            }
            Event::Machine(reply) => {
                self.complain(&reply);
                self.live.machine.put(reply, now);
            }
            Event::Executions(machine, reply) if self.is_shown(&machine) => {
                self.complain(&reply);
                self.live.put_newest(reply, now);
            }
            Event::Older(machine, reply) if self.is_shown(&machine) => match reply {
                Ok(page) => self.live.add_older(page),
                Err(trouble) => {
                    self.live.fail_older(&trouble, now);
                    if trouble.cause != Cause::Outdated {
                        self.complain(&Err::<(), _>(trouble));
                    }
                }
            },
            Event::Execution(arn, reply) => {
                self.complain(&reply);
                self.live.put_detail(&arn, reply, now);
            }
            Event::Run(arn, reply) if self.is_lost(&arn, &reply) => {
                self.close_to(1);
                self.target.restored = None;
                let text = format!("{} of the last visit is not there any more", arn.name());
                self.say(Tone::Warn, text);
            }
            Event::Run(arn, reply) => {
                self.complain(&reply);
                self.live.put_run(arn, reply, now);
            }
            Event::MapRun(arn, reply) => {
                self.complain(&reply);
                self.live.put_map_run(&arn, reply, now);
            }
            Event::FailedChildren(arn, reply) => {
                self.complain(&reply);
                self.live
                    .failed_children
                    .entry(arn)
                    .or_default()
                    .put(reply, now);
            }
            Event::Failures(arn, reply) => {
                self.complain(&reply);
                self.live.put_failures(arn, reply, now);
            }
            Event::NeverStarted(arn, reply) => {
                self.complain(&reply);
                let entry = self.live.never_started.entry(arn).or_default();
                entry.put(reply, now);
            }
            Event::FailuresSoFar(arn, set) => self.live.put_failures_so_far(arn, set, now),
            Event::SourceLine(child, reply) => {
                self.complain(&reply);
                self.live.put_source_line(child, reply, now);
            }
            Event::Members(query, first, reply) => {
                self.complain(&reply);
                self.live.members.put(query, first, reply);
            }
            Event::MembersSoFar(query, looking, page) => {
                if self.looks_through(&query) {
                    self.live.members.put_so_far(query, looking, page);
                }
            }
            Event::Children(query, rows, reply) => {
                self.complain(&reply);
                if let Some(Screen::Failures(it)) = self.stack.last_mut() {
                    it.mark_rows(&query, &rows, reply.unwrap_or_default());
                }
            }
            Event::Outputs(arn, reply) => {
                self.complain(&reply);
                self.put_outputs(arn, reply);
            }
            Event::History(arn, part, reply) => {
                let is_outdated = |it: &Trouble| it.cause == Cause::Outdated && part.is_further();
                if reply.as_ref().is_err_and(is_outdated) {
                    self.live.begin_history_anew(&arn, &part);
                } else {
                    self.complain(&reply);
                    self.live.put_history(arn, &part, reply, now);
                }
            }
            Event::Definition(arn, reply) => {
                self.complain(&reply);
                self.live.put_definition(arn, reply, now);
            }
            Event::Machines(reply) => {
                self.complain(&reply);
                self.live.machines.put(reply, now);
            }
            Event::Recent(arn, reply) => self.live.recents.entry(arn).or_default().put(reply, now),
            Event::MachineView(arn, reply) => {
                self.complain(&reply);
                self.live.put_machine_view(arn, reply, now);
            }
            Event::Document(object, reply) => {
                self.complain(&reply);
                self.live.put_document(&object, reply.unwrap_or_default());
            }
            Event::Preview(object, reply) => self.live.put_preview(*object, reply, now),
            Event::Versions(address, reply) => self.live.put_versions(address, reply, now),
            Event::Reconciled(arn, reply) => {
                self.complain(&reply);
                self.put_reconciliation(arn, reply);
            }
            Event::Hits(address, hits, count) => self.found_in_object(&address, hits, count),
            Event::Linked(address, reply) => return self.linked(&address, reply),
            Event::Logs(query, news) if self.shows_logs_of(&query) => {
                self.complain(&news);
                self.live.put_logs(*query, news, now);
            }
            Event::Found(name, reply) => self.found(&name, reply),
            Event::RedrivePlan(arn, reply) => match &mut self.dialog {
                Some(Dialog::Redrive(dialog)) if dialog.execution == arn => {
                    return dialog.put(reply, now);
                }
                Some(Dialog::Several(dialog)) => dialog.put(&arn, reply, now),
                _ => {}
            },
            Event::Canary(arn, reply) => return self.canary_ended(&arn, reply),
            Event::Interrupted(reply) => self.interrupted(reply),
            Event::RerunPlan(arn, wish, reply) => {
                if let Some(Dialog::Redrive(dialog)) = &mut self.dialog
                    && dialog.is_of(&arn)
                {
                    dialog.put_rerun(&wish, reply, now);
                }
            }
            Event::MergePlan(arn, to, reply) => {
                if let Some(Dialog::Merge(dialog)) = &mut self.dialog
                    && dialog.execution == arn
                {
                    dialog.put(to.as_deref(), reply, now);
                }
            }
            Event::RerunItems(arn, reply) => {
                if let Some(Dialog::Redrive(dialog)) = &mut self.dialog
                    && dialog.execution == arn
                {
                    return dialog.put_items(reply);
                }
            }
            Event::RerunEdited(arn, wish, reply) => {
                if let Some(Dialog::Redrive(dialog)) = &mut self.dialog
                    && dialog.execution == arn
                {
                    return dialog.put_edited(&wish, reply);
                }
            }
            Event::Trail(reply) => {
                if let Some(Dialog::Trail(dialog)) = &mut self.dialog {
                    dialog.put(reply, now);
                }
            }
            Event::StartPlan(form, reply) => {
                if let Some(Dialog::Start(dialog)) = &mut self.dialog {
                    dialog.put(&form, reply, now);
                }
            }
            Event::Paths(begun, token, reply) => {
                self.complain(&reply);
                if let (Some(Dialog::Start(dialog)), Ok(page)) = (&mut self.dialog, reply) {
                    dialog.put_paths(&begun, token.is_some(), page);
                }
            }
            Event::Templates(names) => {
                if let Some(Dialog::Start(dialog)) = &mut self.dialog {
                    dialog.put_templates(names);
                }
            }
            Event::Edited(reply) => {
                self.complain(&reply);
                match (&mut self.dialog, reply) {
                    (Some(Dialog::Start(dialog)), Ok(text)) => return dialog.put_edited(&text),
                    (Some(Dialog::Redrive(dialog)), reply) => return dialog.edited(reply),
                    _ => {}
                }
            }
            Event::Progress(deed, progress) => {
                if let Deed::Search(address) = &deed {
                    self.search_progressed(address, progress);
                }
                self.transfers.progressed(&deed, progress, now);
            }
            Event::Started(name, reply) => return self.started(&name, reply),
            Event::Done(deed, reply) => return self.done(&deed, reply),
            Event::Connected(destination, reply) => return self.connected(destination, reply),
            Event::Identity(reply) => return self.identified(reply),
            Event::Profiles(profiles) => self.target.profiles.put(Ok(profiles), now),
            Event::Lent(ended) => return self.lent(ended),
            Event::Said(text) => self.say(Tone::Plain, text),
            Event::Moment => self.is_menu_due = self.prefix.is_some(),
            Event::Rested => {
                if let Screen::Outputs(it) = self.screen_mut() {
                    it.rest = Rest::Rested;
                }
            }
            // Also replies about a state machine or logs that are no longer shown.
            Event::Key(_)
            | Event::Logs(..)
            | Event::Resize
            | Event::Executions(..)
            | Event::Older(..) => {}
        }
        Vec::new()
    }
}
