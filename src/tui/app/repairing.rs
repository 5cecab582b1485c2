//! What is marked among failures, for the dialog that repairs.

use std::collections::BTreeSet;

use crate::model::ExecutionArn;
use crate::operations::failures::GroupKey;
use crate::operations::rerun::Chosen;
use crate::tui::app::App;
use crate::tui::dialog::redrive::Marked;
use crate::tui::screen::{Failures, Screen};

impl App {
    /// The marks of the failures shown; none on any other screen.
    ///
    /// # Errors
    /// When the filter hides all of them: nobody sees what would be hit.
    pub(super) fn marked_failures(&self) -> Result<Marked, &'static str> {
        let Screen::Failures(it) = self.screen() else {
            return Ok(Marked::default());
        };
        let all = it.marked(self);
        if all.groups.is_empty() && all.children.is_empty() {
            return Ok(Marked::default());
        }
        let (groups, hidden_groups) = self.groups_by_sight(it, all.groups);
        let (children, hidden_children) = self.children_by_sight(it, all.children);
        if groups.is_empty() && children.is_empty() {
            return Err("the filter hides all that is marked: esc clears it");
        }
        let shown = chosen(groups.clone(), children.clone());
        if hidden_groups.is_empty() && hidden_children.is_empty() {
            return Ok(Marked {
                shown,
                hidden: None,
            });
        }
        let counts = it.set(self).map_or(&[][..], |set| set.groups());
        let in_groups = counts
            .iter()
            .filter(|group| hidden_groups.contains(&group.key()));
        let more: u64 = in_groups.map(|group| group.count).sum();
        let more = more + hidden_children.len() as u64;
        let with_hidden = chosen(
            [groups, hidden_groups].concat(),
            [children, hidden_children].concat(),
        );
        Ok(Marked {
            shown,
            hidden: Some((with_hidden, more)),
        })
    }

    /// Groups that the filter shows, and those that it hides.
    fn groups_by_sight(
        &self,
        screen: &Failures,
        marked: Vec<GroupKey>,
    ) -> (Vec<GroupKey>, Vec<GroupKey>) {
        let Some(set) = screen.set(self) else {
            return (marked, Vec::new());
        };
        let shown = screen.groups_shown(set).into_iter();
        let shown: BTreeSet<GroupKey> = shown.map(|index| set.groups()[index].key()).collect();
        marked.into_iter().partition(|key| shown.contains(key))
    }

    /// Without a filter none is hidden, also those of other groups.
    fn children_by_sight(
        &self,
        screen: &Failures,
        marked: Vec<ExecutionArn>,
    ) -> (Vec<ExecutionArn>, Vec<ExecutionArn>) {
        if screen.filter.is_empty() {
            return (marked, Vec::new());
        }
        let shown = screen.fitting(self);
        marked.into_iter().partition(|child| shown.contains(child))
    }
}

fn chosen(groups: Vec<GroupKey>, children: Vec<ExecutionArn>) -> Chosen {
    Chosen {
        groups,
        children: children.into_iter().collect(),
        ..Chosen::default()
    }
}
