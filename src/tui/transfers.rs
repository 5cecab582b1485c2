//! Uploads, downloads, merges and searches: those under way, and how the last ones ended.

use std::collections::VecDeque;

use crate::model::Timestamp;
use crate::operations::Progress;
use crate::tui::event::{Deed, Effect, Reply};
use crate::tui::widget::figures;

/// Transfers kept; those under way always are.
const KEPT: usize = 50;
/// Seconds over which the speed is measured.
const SPAN: i64 = 10;

#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    pub deed: Deed,
    pub progress: Progress,
    pub state: State,
    /// What to do to try it again, or to go on with it.
    pub again: Option<Effect>,
    /// Bytes done at moments of the last seconds, the oldest first.
    seen: VecDeque<(Timestamp, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Going,
    /// How it ended.
    Done(String),
    Failed(String),
    Cancelled,
}

impl Transfer {
    pub fn is_going(&self) -> bool {
        self.state == State::Going
    }

    /// Bytes a second, measured over the last seconds.
    pub fn speed(&self) -> Option<u64> {
        let (first, last) = (self.seen.front()?, self.seen.back()?);
        let seconds = figures::seconds_between(first.0, last.0);
        let done = last.1.saturating_sub(first.1);
        (0 < seconds && 0 < done).then(|| done / seconds as u64)
    }

    /// Seconds that it may still take.
    pub fn left(&self) -> Option<i64> {
        let left = self.progress.total.saturating_sub(self.progress.done);
        self.speed().map(|speed| (left / speed.max(1)) as i64)
    }

    fn note(&mut self, progress: Progress, now: Timestamp) {
        self.progress = progress;
        let is_first = self.seen.len() < 2;
        match self.seen.back_mut() {
            // What was there at the beginning says nothing of the speed.
            Some(last) if last.0 == now && is_first => {}
            Some(last) if last.0 == now => last.1 = progress.done,
            _ => self.seen.push_back((now, progress.done)),
        }
        while self
            .seen
            .front()
            .is_some_and(|(at, _)| SPAN < figures::seconds_between(*at, now))
        {
            self.seen.pop_front();
        }
    }
}

/// The newest first.
#[derive(Debug, Clone, Default)]
pub struct Transfers {
    list: Vec<Transfer>,
}

impl Transfers {
    /// Notes a transfer that an effect begins; other effects are none.
    pub fn begin(&mut self, effect: &Effect) {
        let (deed, total) = match effect {
            Effect::Download(object, _) => (Deed::Download(object.address.clone()), object.size),
            Effect::Start(plan) => (Deed::Start(plan.name.clone()), plan.size),
            Effect::Merge(plan) => {
                let bytes = plan.sources.iter().map(|source| source.bytes);
                (Deed::Merge(plan.execution.clone()), bytes.sum())
            }
            Effect::Search(object, _) => (Deed::Search(object.address.clone()), object.size),
            _ => return,
        };
        self.list.retain(|it| it.deed != deed);
        let transfer = Transfer {
            deed,
            progress: Progress { done: 0, total },
            state: State::Going,
            again: Some(effect.clone()),
            seen: VecDeque::new(),
        };
        self.list.insert(0, transfer);
    }

    pub fn progressed(&mut self, deed: &Deed, progress: Progress, now: Timestamp) {
        let known = self.list.iter().position(|it| it.deed == *deed);
        let index = known.unwrap_or_else(|| {
            let transfer = Transfer {
                deed: deed.clone(),
                progress,
                state: State::Going,
                again: None,
                seen: VecDeque::new(),
            };
            self.list.insert(0, transfer);
            0
        });
        // A report may still be on its way when the end is known.
        if let Some(transfer) = self.list.get_mut(index).filter(|it| it.is_going()) {
            transfer.note(progress, now);
        }
    }

    pub fn ended(&mut self, deed: &Deed, reply: &Reply<String>) {
        let state = match reply {
            Ok(text) => State::Done(text.clone()),
            Err(trouble) => State::Failed(trouble.text.clone()),
        };
        self.set(deed, state);
    }

    /// A search is stopped, not cancelled: what it has found stays.
    pub fn cancelled(&mut self, deed: &Deed) {
        self.set(deed, State::Cancelled);
    }

    fn set(&mut self, deed: &Deed, state: State) {
        if let Some(transfer) = self.list.iter_mut().find(|it| it.deed == *deed) {
            transfer.state = state;
        }
        let mut ended = 0;
        self.list.retain(|it| {
            ended += usize::from(!it.is_going());
            it.is_going() || ended <= KEPT
        });
    }

    /// Leaves only what is under way.
    pub fn clear(&mut self) {
        self.list.retain(Transfer::is_going);
    }

    pub fn all(&self) -> &[Transfer] {
        &self.list
    }

    pub fn going(&self) -> impl Iterator<Item = &Transfer> {
        self.list.iter().filter(|it| it.is_going())
    }

    /// What becomes of those under way when they are left; `None` when there are none.
    pub fn warning(&self) -> Option<String> {
        let counted = |is_it: fn(&Deed) -> bool| self.going().filter(|it| is_it(&it.deed)).count();
        let downloads = counted(|deed| matches!(deed, Deed::Download(_)));
        let uploads = counted(|deed| matches!(deed, Deed::Start(_)));
        let merges = counted(|deed| matches!(deed, Deed::Merge(_)));
        let searches = counted(|deed| matches!(deed, Deed::Search(_)));
        let several = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let mut parts = Vec::new();
        if 0 < downloads {
            let what = several(downloads, "download");
            parts.push(format!("{what} (asked for again: goes on where it is)"));
        }
        if 0 < uploads {
            let what = several(uploads, "start");
            parts.push(format!(
                "{what} (asked for again: its upload goes on where it is)"
            ));
        }
        if 0 < merges {
            let what = several(merges, "merge");
            parts.push(format!("{what} (`fanout resume` goes on)"));
        }
        if 0 < searches {
            parts.push(several(searches, "search").replace("searchs", "searches"));
        }
        let others = self.going().count() - downloads - uploads - merges - searches;
        if 0 < others {
            let what = several(others, "operation");
            parts.push(format!("{what} (`fanout resume` goes on)"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::outputs::Kind;
    use crate::tui::harness::{output, trouble};

    fn download(name: &str) -> (Effect, Deed) {
        let object = output(Kind::Final, name, 1_000).object;
        let deed = Deed::Download(object.address.clone());
        (Effect::Download(object, "downloads".into()), deed)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    fn progress(done: u64) -> Progress {
        Progress { done, total: 1_000 }
    }

    #[test]
    fn speed_is_of_the_last_seconds_and_not_of_what_was_there_already() {
        let mut transfers = Transfers::default();
        let (effect, deed) = download("a");
        transfers.begin(&effect);
        transfers.progressed(&deed, progress(500), at(0));
        assert_eq!(transfers.all()[0].speed(), None);
        transfers.progressed(&deed, progress(520), at(2));
        transfers.progressed(&deed, progress(540), at(2));
        let transfer = &transfers.all()[0];
        assert_eq!((transfer.speed(), transfer.left()), (Some(20), Some(23)));
        transfers.progressed(&deed, progress(541), at(30));
        assert_eq!(transfers.all()[0].speed(), None, "long ago tells nothing");
    }

    #[test]
    fn what_ended_stays_to_be_seen_and_is_bounded() {
        let mut transfers = Transfers::default();
        for n in 0..200 {
            let (effect, deed) = download(&n.to_string());
            transfers.begin(&effect);
            transfers.ended(&deed, &Err(trouble("no connection")));
        }
        assert_eq!(transfers.all().len(), KEPT);
        assert_eq!(transfers.warning(), None);
        let (effect, _) = download("199");
        transfers.begin(&effect);
        assert_eq!(transfers.all().len(), KEPT, "once more is the same one");
        let warning = transfers.warning().expect("one is going");
        assert!(warning.contains("1 download (") && warning.contains("goes on"));
        transfers.clear();
        assert_eq!(transfers.all().len(), 1);
    }
}
