//! One table of actions: their words in the hint bar and in help, and whether they are available
//! now. Their keys are in `map`, from `assets/keys.toml` and the user's own. Nothing else in the
//! program knows a key by heart.

mod map;

pub use map::{Key, Keymap, Resolution};

use crate::tui::app::App;

/// What a key can mean outside dialogs and text fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Down,
    Up,
    Top,
    Bottom,
    HalfDown,
    HalfUp,
    PageDown,
    PageUp,
    Open,
    Back,
    Leave,
    Quit,
    Runs,
    Live,
    Failures,
    Outputs,
    Logs,
    LogsHere,
    Narrow,
    SearchNext,
    SearchPrevious,
    Wrap,
    Left,
    Right,
    NextPane,
    PreviousPane,
    LastView,
    HistoryBack,
    HistoryForward,
    ScrollDown,
    ScrollUp,
    Start,
    Redrive,
    Stop,
    Limits,
    Describe,
    Graph,
    Timeline,
    Events,
    Payload,
    Child,
    NextTab,
    PreviousTab,
    Choose,
    Machines,
    FoldAll,
    UnfoldAll,
    FirstFailure,
    SourceLine,
    Sort,
    Reverse,
    MarkRange,
    MarkAll,
    ClearMarks,
    Export,
    Browse,
    Profile,
    Region,
    Download,
    Link,
    Rounds,
    Reconcile,
    Transfers,
    Freeze,
    Copy,
    CopyArn,
    Filter,
    Command,
    Help,
    Menu,
    FullScreen,
    Mouse,
    Trail,
    MarkCompare,
    Compare,
    Grow,
    Shrink,
    Refresh,
    Redraw,
    Suspend,
}

/// Why an action does nothing now.
pub type Availability = Result<(), &'static str>;

pub struct Binding {
    pub action: Action,
    /// Its name in `keys.toml`.
    pub name: &'static str,
    /// One or two words for the hint bar.
    pub hint: &'static str,
    pub help: &'static str,
    /// `Err` leaves it out of the hint bar, and is the answer when its key is pressed all the same.
    pub available: fn(&App) -> Availability,
}

const fn binding(
    action: Action,
    name: &'static str,
    hint: &'static str,
    help: &'static str,
    available: fn(&App) -> Availability,
) -> Binding {
    Binding {
        action,
        name,
        hint,
        help,
        available,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the type of Binding::available")]
fn always(_: &App) -> Availability {
    Ok(())
}

/// Every action, in the order in which help lists them.
#[rustfmt::skip]
pub const BINDINGS: &[Binding] = &[
    binding(Action::Start, "start", "start", "start a run from a file or an S3 object", App::can_change),
    binding(Action::Open, "open", "open", "open, go deeper", App::can_open),
    binding(Action::Redrive, "redrive", "redrive", "redrive in place, or run failed lines again (asks first)", App::can_redrive),
    binding(Action::Stop, "stop", "stop", "stop the run (asks first)", App::can_stop),
    binding(Action::Limits, "limits", "limits", "change concurrency and tolerance of the running Map Run", App::can_limit),
    binding(Action::Describe, "describe", "describe", "the execution: all fields", App::has_run),
    binding(Action::Graph, "graph", "graph", "the execution: state graph", App::has_run),
    binding(Action::Timeline, "timeline", "timeline", "the execution: states over time", App::has_run),
    binding(Action::Events, "events", "events", "the execution: events of its history", App::has_run),
    binding(Action::Payload, "payload", "in/out", "the execution: input and output", App::has_run),
    binding(Action::Child, "child", "child", "the child execution under the cursor", App::has_child),
    binding(Action::NextTab, "next-tab", "tab", "next tab", App::has_tabs),
    binding(Action::PreviousTab, "previous-tab", "tab", "previous tab", App::has_tabs),
    binding(Action::Runs, "runs", "runs", "view 1: all runs", always),
    binding(Action::Live, "live", "live", "view 2: the run's Map Run as it goes", App::has_run),
    binding(Action::Failures, "failures", "failures", "view 3: failed items by cause", App::has_run),
    binding(Action::Outputs, "outputs", "outputs", "view 4: output files of the run", App::has_run),
    binding(Action::Logs, "logs", "logs", "view 5: what the run has logged, and logs", App::has_run),
    binding(Action::LogsHere, "logs-here", "logs", "log lines of what is under the cursor", App::has_run),
    binding(Action::Machines, "machines", "machines", "view 6: state machines", always),
    binding(Action::FirstFailure, "first-failure", "first failure", "the failed item with the lowest line number", App::has_failures),
    binding(Action::SourceLine, "source-line", "source line", "the line of the source that the failed item is", App::can_find_line),
    binding(Action::Download, "download", "download", "download the chosen object", App::can_download),
    binding(Action::Link, "link", "link", "copy a link by which anybody can read the object for an hour", App::can_link),
    binding(Action::Transfers, "transfers", "transfers", "uploads, downloads and searches: speed, result, cancel, again", always),
    binding(Action::Reconcile, "reconcile", "reconcile", "account for every line: succeeded, failed, never started, missing, twice; then merge them (asks first)", App::can_reconcile),
    binding(Action::Rounds, "rounds", "rounds", "show the rounds of a Map Run as one, or each", App::can_merge_rounds),
    binding(Action::Filter, "filter", "filter", "filter the list: text, column:value, !not, failed:>100, since:24h, -f fuzzy; in logs: search", App::can_filter),
    binding(Action::Narrow, "narrow", "narrow", "show only log lines that fit: words, level:error, state:, request:, or CloudWatch's own pattern", App::can_search),
    binding(Action::SearchNext, "search-next", "next", "the next place with the searched text", App::has_search),
    binding(Action::SearchPrevious, "search-previous", "previous", "the place before with the searched text", App::has_search),
    binding(Action::Wrap, "wrap", "wrap", "break long lines, or do not", App::can_search),
    binding(Action::Sort, "sort", "sort", "sort the list: by time, failures, state, name, …", App::can_sort),
    binding(Action::Reverse, "reverse", "reverse", "turn the order of the list around", App::can_sort),
    binding(Action::MarkRange, "mark-range", "range", "begin a range here, or end it: marks all between", App::can_mark),
    binding(Action::MarkAll, "mark-all", "mark all", "mark all that the filter shows", App::can_mark),
    binding(Action::ClearMarks, "clear-marks", "clear marks", "mark nothing any more", App::can_mark),
    binding(Action::Profile, "profile", "profile", "go to another profile, or to the embedded engine", always),
    binding(Action::Region, "region", "Region", "go to another Region with the same profile", App::can_switch_region),
    binding(Action::Export, "export", "export", "write what is shown into a file", App::can_export),
    binding(Action::Browse, "browse", "console", "open this in the AWS console", App::can_browse),
    binding(Action::Freeze, "freeze", "freeze", "freeze the view, the run goes on", always),
    binding(Action::Copy, "copy", "copy", "copy the name, line or address under the cursor", App::has_subject),
    binding(Action::CopyArn, "copy-arn", "copy ARN", "copy the ARN or whole address", App::has_subject),
    binding(Action::NextPane, "next-pane", "pane", "next pane", App::has_panes),
    binding(Action::PreviousPane, "previous-pane", "pane", "previous pane", App::has_panes),
    binding(Action::ScrollDown, "scroll-down", "scroll", "scroll the preview down", App::has_preview),
    binding(Action::ScrollUp, "scroll-up", "scroll", "scroll the preview up", App::has_preview),
    binding(Action::Left, "left", "left", "to the left; fold, or go to what holds this", App::has_sides),
    binding(Action::Right, "right", "right", "to the right; unfold, or go inside", App::has_sides),
    binding(Action::Choose, "choose", "choose", "mark this or no longer, of failures a whole group; fold or unfold; of machines, show its runs", App::can_choose),
    binding(Action::FoldAll, "fold-all", "fold all", "fold everything", App::has_tree),
    binding(Action::UnfoldAll, "unfold-all", "unfold all", "unfold everything", App::has_tree),
    binding(Action::Down, "down", "down", "one line down", always),
    binding(Action::Up, "up", "up", "one line up", always),
    binding(Action::Top, "top", "top", "to the first line", always),
    binding(Action::Bottom, "bottom", "bottom", "to the last line", always),
    binding(Action::HalfDown, "half-down", "half page", "half a page down", always),
    binding(Action::HalfUp, "half-up", "half page", "half a page up", always),
    binding(Action::PageDown, "page-down", "page", "a page down", always),
    binding(Action::PageUp, "page-up", "page", "a page up", always),
    binding(Action::Back, "back", "back", "clear one thing or go back one level, never quits", always),
    binding(Action::Leave, "leave", "back", "back; at the first view it quits", always),
    binding(Action::Menu, "menu", "actions", "what can be done with this thing", always),
    binding(Action::Command, "command", "command", "find and do anything: commands, views, runs", always),
    binding(Action::LastView, "last-view", "last view", "back to the view before, and again to this one", App::has_past),
    binding(Action::HistoryBack, "history-back", "earlier view", "one view back in time", App::has_past),
    binding(Action::HistoryForward, "history-forward", "later view", "one view forward again", App::has_future),
    binding(Action::FullScreen, "full-screen", "full screen", "without frames, so that the terminal can select text", always),
    binding(Action::Mouse, "mouse", "mouse", "wheel, click, and drag to copy; again gives the mouse back to the terminal", always),
    binding(Action::Trail, "trail", "trail", "every change made from this machine, as commands", always),
    binding(Action::MarkCompare, "mark-compare", "mark to compare", "mark this run, to compare another one with it", App::has_run),
    binding(Action::Compare, "compare", "compare", "compare the run that m marked with this one, or two marked runs", App::can_compare),
    binding(Action::Grow, "grow", "larger", "make the lower or right pane larger", App::can_resize),
    binding(Action::Shrink, "shrink", "smaller", "make the lower or right pane smaller", App::can_resize),
    binding(Action::Refresh, "refresh", "refresh", "ask everything shown again now", always),
    binding(Action::Redraw, "redraw", "redraw", "paint the screen again", always),
    binding(Action::Suspend, "suspend", "suspend", "suspend to the shell, `fg` comes back", always),
    binding(Action::Quit, "quit", "quit", "quit; runs on AWS go on", always),
    binding(Action::Help, "help", "help", "all keys: type to search, enter to do", always),
];

/// The table's entry of an action.
pub fn of(action: Action) -> &'static Binding {
    BINDINGS
        .iter()
        .find(|binding| binding.action == action)
        .expect("a test checks that every action is in the table")
}

/// The action of this name.
pub fn named(name: &str) -> Option<&'static Binding> {
    BINDINGS.iter().find(|binding| binding.name == name)
}
