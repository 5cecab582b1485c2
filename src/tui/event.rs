//! What can happen to the dashboard, and what it can ask for. Both are plain values, so that every
//! scenario is a list of events and its outcome a list of effects.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};
use serde_json::{Map, Value};

use crate::client::{Connection, Identity, ObjectVersion, Profile};
use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, Failure, HistoryEvent, Limits, MapRun, MapRunArn,
    Object, ObjectAddress, Page, StateMachine, StateMachineArn, Timestamp,
};
use crate::operations::failures::{NeverStarted, SourceLine};
use crate::operations::journal::{Interrupted, Repeat};
use crate::operations::logs::Query;
use crate::operations::machines::Recent;
use crate::operations::outputs::{self, Hit, Listing};
use crate::operations::reconcile::Reconciliation;
use crate::operations::rerun::edit::Edited;
use crate::operations::rerun::{Wish, canary};
use crate::operations::runs::Run;
use crate::operations::start::Source;
use crate::operations::{Progress, merge, plan, redrive, rerun, start, trail};
use crate::tui::data::{
    Definition, FailureSet, Looking, MachineView, MemberPage, MemberQuery, News,
};
use crate::tui::history::Part;
use crate::tui::preview::Beginning;
use crate::tui::runtime::ExportOf;
use crate::tui::selection::Selection;
use crate::tui::session::Session;

/// Why an ask got no answer, in words for the message line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub text: String,
    /// What to do next, where known.
    pub hint: Option<String>,
    /// Only slowed by the service: not an error, and tried again by itself.
    pub slowed: bool,
    pub cause: Cause,
}

/// Causes that mean more than a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cause {
    #[default]
    Other,
    /// Nobody is signed in, or no longer.
    SignedOut,
    /// There is nothing of that name.
    Gone,
    /// The token of a page is no longer taken: one begins again with the first.
    Outdated,
    /// Something on this machine is in the way.
    Refused,
}

pub type Reply<T> = Result<T, Trouble>;

/// How the connection is doing, measured once a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    pub connection: Connection,
    /// Share of the API budget in use, 0 to 1.
    pub budget_used: f64,
    /// The service throttled us lately.
    pub slowed: bool,
    /// Keys of host actions that have nothing left to do.
    pub spent: Vec<char>,
}

/// Where one can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destination {
    pub place: Place,
    /// `None` is the profile's own.
    pub region: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `None` is the SDK's own choice.
    Profile(Option<String>),
    /// The embedded engine.
    Engine,
}

impl Default for Place {
    fn default() -> Self {
        Self::Profile(None)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Engine => f.write_str("the embedded engine")?,
            Place::Profile(None) => f.write_str("the profile in force")?,
            Place::Profile(Some(name)) => write!(f, "profile {name}")?,
        }
        match &self.region {
            Some(region) => write!(f, " in {region}"),
            None => Ok(()),
        }
    }
}

/// A connection that has been made.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub health: Health,
    /// What is remembered of the target, or why it cannot be read.
    pub session: Result<Option<Session>, String>,
}

/// Replies name their subject, so they are right whatever screen is shown when they come.
#[derive(Debug, Clone)]
pub enum Event {
    Key(KeyEvent),
    Paste(String),
    Mouse(MouseEvent),
    Resize,
    /// The terminal gained or lost the focus.
    Focus(bool),
    /// A second has passed.
    Now(Timestamp, Box<Health>),
    Machine(Reply<StateMachineArn>),
    Executions(StateMachineArn, Reply<Page<Execution>>),
    /// The page after the last one loaded.
    Older(StateMachineArn, Reply<Page<Execution>>),
    Execution(ExecutionArn, Reply<Box<ExecutionDetail>>),
    Run(ExecutionArn, Reply<Box<Run>>),
    MapRun(MapRunArn, Reply<Box<MapRun>>),
    FailedChildren(MapRunArn, Reply<Vec<Execution>>),
    Failures(MapRunArn, Reply<FailureSet>),
    /// What has been read of them while reading goes on.
    FailuresSoFar(MapRunArn, FailureSet),
    /// Items of a Map Run that were never started; `None` where nothing lists them.
    NeverStarted(MapRunArn, Reply<Option<NeverStarted>>),
    /// The line that a failed child worked on.
    SourceLine(ExecutionArn, Reply<SourceLine>),
    /// Rows of a list of members, from that number on.
    Members(MemberQuery, u64, Reply<MemberPage>),
    /// Rows of a list of members that have been found so far.
    MembersSoFar(MemberQuery, Looking, MemberPage),
    /// The children in these rows of a list of members.
    Children(MemberQuery, Range<u64>, Reply<Vec<ExecutionArn>>),
    Outputs(ExecutionArn, Reply<Listing>),
    /// A page of an object.
    Preview(Box<Object>, Reply<outputs::Page>),
    Document(Box<Object>, Reply<Beginning>),
    /// Versions of an object; `None` where the bucket keeps none.
    Versions(ObjectAddress, Reply<Option<Vec<ObjectVersion>>>),
    /// Where each line of a run ended.
    Reconciled(ExecutionArn, Reply<Box<Reconciliation>>),
    /// More matches of the search in an object, and how many there are so far.
    Hits(ObjectAddress, Vec<Hit>, u64),
    /// A link to an object, and until when it is valid.
    Linked(ObjectAddress, Reply<(String, Timestamp)>),
    /// What is told of a run's log lines.
    Logs(Box<Query>, Reply<News>),
    /// A page of an execution's events.
    History(ExecutionArn, Part, Reply<Page<HistoryEvent>>),
    /// The definition that an execution has.
    Definition(ExecutionArn, Reply<Arc<Definition>>),
    /// All state machines.
    Machines(Reply<Vec<StateMachine>>),
    /// How the newest executions of a state machine went.
    Recent(StateMachineArn, Reply<Recent>),
    MachineView(StateMachineArn, Reply<Arc<MachineView>>),
    /// The execution that a name stands for.
    Found(String, Reply<ExecutionArn>),
    RedrivePlan(ExecutionArn, Reply<Box<redrive::Plan>>),
    RerunPlan(ExecutionArn, Box<Wish>, Reply<Box<rerun::Plan>>),
    /// What a merge into this destination would do; `None` is where it goes by itself.
    MergePlan(ExecutionArn, Option<String>, Reply<Box<merge::Plan>>),
    /// The items of a wish, for the user's editor.
    RerunItems(ExecutionArn, Reply<String>),
    /// What was made of them there.
    RerunEdited(ExecutionArn, Box<Wish>, Reply<Box<Edited>>),
    /// A canary has ended.
    Canary(ExecutionArn, Reply<Box<canary::Ended>>),
    /// What was interrupted at this target, the newest first.
    Interrupted(Reply<Vec<Interrupted>>),
    /// The newest changes made from this machine, oldest of them first.
    Trail(Reply<Vec<trail::Entry>>),
    StartPlan(Box<StartForm>, Reply<Box<start::Plan>>),
    /// Paths that begin with the text, and the page's token: `None` for the first.
    Paths(String, Option<String>, Reply<Page<String>>),
    /// Names of the templates there are.
    Templates(Vec<String>),
    /// What the user's editor made of a text.
    Edited(Reply<String>),
    Progress(Deed, Progress),
    Started(String, Reply<ExecutionArn>),
    /// A deed ended; the text says how.
    Done(Deed, Reply<String>),
    /// So many characters are on the clipboard, by this program.
    Copied(usize, &'static str),
    /// No program took the text.
    NotCopied(String),
    /// A connection is made, or cannot be.
    Connected(Destination, Reply<Box<Arrival>>),
    Identity(Reply<Identity>),
    /// All profiles of the AWS configuration.
    Profiles(Vec<Profile>),
    /// The program that had the terminal has ended; the error says how.
    Lent(Result<(), String>),
    /// What a host action said.
    Said(String),
    /// The moment that was asked for has passed.
    Moment,
    /// The cursor has stayed where it is for a while.
    Rested,
}

/// Something that changes the world (or the disk), named by its subject. One of each is out at a
/// time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deed {
    Start(String),
    Redrive(ExecutionArn),
    /// Several at once, or what was left of them.
    RedriveAll,
    /// A new execution for items of this one.
    Rerun(ExecutionArn),
    /// One new file of a run, its redrives and its re-runs.
    Merge(ExecutionArn),
    Stop(ExecutionArn),
    Limits(MapRunArn),
    Download(ObjectAddress),
    /// Looking for a text in an object.
    Search(ObjectAddress),
    /// A list, into this file.
    Export(PathBuf),
    /// An input, kept as a template of this name.
    Template(String),
    /// The first lines of a start, tried on the embedded engine.
    DryRun(String),
}

/// What the start dialog holds, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct StartForm {
    /// Name or ARN.
    pub machine: String,
    pub source: Source,
    pub bucket: String,
    pub name: Option<String>,
    pub input: Value,
    pub template: Option<String>,
}

/// One question. Its answer is an [`Event`] with the same subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    Describe(ExecutionArn),
    Older(StateMachineArn, String),
    Failures(Box<MapRun>),
    NeverStarted(Box<MapRun>),
    /// Rows of a list of members, from that number on.
    Members(MemberQuery, u64),
    /// The children in these rows of it.
    Children(MemberQuery, Range<u64>),
    /// Which line of the source a failed child worked on.
    SourceLine(Box<MapRun>, Box<Failure>),
    /// So many objects, about.
    Outputs(Box<Run>, usize),
    /// More objects than these.
    MoreOutputs(ExecutionArn, Arc<Listing>),
    /// The page that begins at this byte.
    Preview(Box<Object>, u64),
    /// The beginning of a JSON object, as a tree.
    Document(Box<Object>),
    Versions(ObjectAddress),
    /// Reads all results of a run.
    Reconcile(Box<Run>),
    History(ExecutionArn, Part),
    Definition(ExecutionArn),
    Machines,
    Recent(StateMachineArn),
    MachineView(StateMachineArn),
    Find(StateMachineArn, String),
    PlanRedrive(ExecutionArn),
    PlanRerun(ExecutionArn, Box<Wish>),
    PlanMerge(ExecutionArn, Option<String>),
    /// The items of a wish as one edits them.
    RerunItems(ExecutionArn, Box<Wish>),
    /// What an edited text changes of a wish's items.
    RerunEdited(ExecutionArn, Box<Wish>, String),
    /// Operations that were interrupted.
    Interrupted,
    Trail,
    PlanStart(Box<StartForm>),
    /// Paths that begin with a text; of S3 a page by its token.
    Paths(String, Option<String>),
    Templates,
    /// Whose credentials these are.
    Identity,
    Profiles,
}

/// What an ask is about: one ask a subject is out at a time, so replies cannot overtake each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    Describe(ExecutionArn),
    Older,
    Failures(MapRunArn),
    NeverStarted(MapRunArn),
    Members,
    Children,
    SourceLine(ExecutionArn),
    Outputs(ExecutionArn),
    Preview(ObjectAddress),
    Document(ObjectAddress),
    Versions(ObjectAddress),
    Reconcile(ExecutionArn),
    History(ExecutionArn),
    Definition(ExecutionArn),
    Machines,
    Recent(StateMachineArn),
    MachineView(StateMachineArn),
    Find(String),
    PlanRedrive(ExecutionArn),
    /// The newest wish wins; that for everything stands apart.
    PlanRerun(ExecutionArn, bool),
    /// The newest destination wins.
    PlanMerge(ExecutionArn),
    RerunItems(ExecutionArn),
    RerunEdited(ExecutionArn),
    Interrupted,
    Trail,
    /// The newest form wins.
    PlanStart,
    Paths,
    Templates,
    Identity,
    Profiles,
}

impl Ask {
    pub fn subject(&self) -> Subject {
        match self {
            Self::Describe(arn) => Subject::Describe(arn.clone()),
            Self::Older(..) => Subject::Older,
            Self::Failures(map_run) => Subject::Failures(map_run.arn.clone()),
            Self::NeverStarted(map_run) => Subject::NeverStarted(map_run.arn.clone()),
            Self::Members(..) => Subject::Members,
            Self::Children(..) => Subject::Children,
            Self::SourceLine(_, failure) => Subject::SourceLine(failure.child.clone()),
            Self::Outputs(run, _) => Subject::Outputs(run.execution().arn.clone()),
            Self::MoreOutputs(arn, _) => Subject::Outputs(arn.clone()),
            Self::Preview(object, _) => Subject::Preview(object.address.clone()),
            Self::Document(object) => Subject::Document(object.address.clone()),
            Self::Versions(address) => Subject::Versions(address.clone()),
            Self::Reconcile(run) => Subject::Reconcile(run.execution().arn.clone()),
            Self::History(arn, _) => Subject::History(arn.clone()),
            Self::Definition(arn) => Subject::Definition(arn.clone()),
            Self::Machines => Subject::Machines,
            Self::Recent(arn) => Subject::Recent(arn.clone()),
            Self::MachineView(arn) => Subject::MachineView(arn.clone()),
            Self::Find(_, name) => Subject::Find(name.clone()),
            Self::PlanRedrive(arn) => Subject::PlanRedrive(arn.clone()),
            Self::PlanRerun(arn, wish) => Subject::PlanRerun(arn.clone(), wish.everything),
            Self::PlanMerge(arn, _) => Subject::PlanMerge(arn.clone()),
            Self::RerunItems(arn, _) => Subject::RerunItems(arn.clone()),
            Self::RerunEdited(arn, ..) => Subject::RerunEdited(arn.clone()),
            Self::Interrupted => Subject::Interrupted,
            Self::Trail => Subject::Trail,
            Self::PlanStart(_) => Subject::PlanStart,
            Self::Paths(..) => Subject::Paths,
            Self::Templates => Subject::Templates,
            Self::Identity => Subject::Identity,
            Self::Profiles => Subject::Profiles,
        }
    }
}

impl Event {
    /// The ask that this answers.
    pub fn answers(&self) -> Option<Subject> {
        let subject = match self {
            Self::Run(arn, _) => Subject::Describe(arn.clone()),
            Self::Older(..) => Subject::Older,
            Self::Failures(arn, _) => Subject::Failures(arn.clone()),
            Self::NeverStarted(arn, _) => Subject::NeverStarted(arn.clone()),
            Self::Members(..) => Subject::Members,
            Self::Children(..) => Subject::Children,
            Self::SourceLine(child, _) => Subject::SourceLine(child.clone()),
            Self::Outputs(arn, _) => Subject::Outputs(arn.clone()),
            Self::Document(object, _) => Subject::Document(object.address.clone()),
            Self::Preview(object, _) => Subject::Preview(object.address.clone()),
            Self::Versions(address, _) => Subject::Versions(address.clone()),
            Self::Reconciled(arn, _) => Subject::Reconcile(arn.clone()),
            Self::History(arn, ..) => Subject::History(arn.clone()),
            Self::Definition(arn, _) => Subject::Definition(arn.clone()),
            Self::Machines(_) => Subject::Machines,
            Self::Recent(arn, _) => Subject::Recent(arn.clone()),
            Self::MachineView(arn, _) => Subject::MachineView(arn.clone()),
            Self::Found(name, _) => Subject::Find(name.clone()),
            Self::RedrivePlan(arn, _) => Subject::PlanRedrive(arn.clone()),
            Self::RerunPlan(arn, wish, _) => Subject::PlanRerun(arn.clone(), wish.everything),
            Self::MergePlan(arn, ..) => Subject::PlanMerge(arn.clone()),
            Self::RerunItems(arn, _) => Subject::RerunItems(arn.clone()),
            Self::RerunEdited(arn, ..) => Subject::RerunEdited(arn.clone()),
            Self::Interrupted(_) => Subject::Interrupted,
            Self::Trail(_) => Subject::Trail,
            Self::StartPlan(..) => Subject::PlanStart,
            Self::Paths(..) => Subject::Paths,
            Self::Templates(_) => Subject::Templates,
            Self::Identity(_) => Subject::Identity,
            Self::Profiles(_) => Subject::Profiles,
            _ => return None,
        };
        Some(subject)
    }
}

impl Event {
    /// The runs of whose state this tells.
    pub fn about(&self) -> Vec<ExecutionArn> {
        match self {
            Self::Run(arn, Ok(_)) | Self::Execution(arn, Ok(_)) => vec![arn.clone()],
            Self::MapRun(_, Ok(map_run)) => vec![map_run.execution.clone()],
            Self::Executions(_, Ok(page)) => page.items.iter().map(|run| run.arn.clone()).collect(),
            _ => Vec::new(),
        }
    }
}

/// What should happen outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Ask(Ask),
    Redrive(Box<redrive::Plan>),
    /// Several, journalled as one operation.
    RedriveAll(Vec<redrive::Plan>),
    Rerun(Box<rerun::Plan>),
    /// So many of each group of what is wished first, as a run of their own.
    Canary(ExecutionArn, Box<Wish>, u64),
    /// Again and again, while it leaves something and as often as that is wanted.
    Repeat(Box<plan::Plan>, Repeat),
    /// Goes on with an interrupted operation.
    Resume(String),
    Merge(Box<merge::Plan>),
    /// Into a new file; nothing is run.
    SavePlan(PathBuf, Box<plan::Plan>),
    Start(Box<start::Plan>),
    /// Tries its first lines on the embedded engine.
    DryRun(Box<start::Plan>),
    Stop(ExecutionArn),
    SetLimits(MapRunArn, Limits),
    /// Into this folder.
    Download(Object, PathBuf),
    /// Looks for a text in an object.
    Search(Box<Object>, String),
    /// Makes a link by which anybody can read the object for a while.
    Link(ObjectAddress),
    /// Ends a deed that is under way.
    Cancel(Deed),
    /// Writes failures into the deed's file.
    ExportFailures(Deed, Box<ExportOf>),
    /// Writes a text into the deed's file.
    Export(Deed, String),
    /// Keeps an input as the deed's template: that of another template, with this over it.
    SaveTemplate(Deed, Option<String>, Map<String, Value>),
    /// Opens an address in a browser, or where there is none puts it on the clipboard.
    Browse(String),
    /// Put on the clipboard.
    Copy(String),
    /// The same by the terminal itself (OSC 52), which never says whether it did.
    CopyByTerminal(String),
    /// Copy the text of these cells.
    CopySelection(Selection),
    /// Take the mouse, or give it back.
    Mouse(bool),
    /// Say something to somebody who looks elsewhere.
    Notify(String),
    /// Whether anybody looks: else the polls are slow.
    Watched(bool),
    /// Opened in the user's editor.
    Edit(String),
    /// The host action with this index.
    Host(usize),
    /// Refuse everything that changes something from now on.
    ReadOnly,
    /// Tell when a moment has passed: so long a second key is waited for without a menu.
    Moment,
    /// Tell when the cursor has rested for a while: until then nothing is asked about what it is on.
    Rest,
    /// Begin all standing polls anew.
    Refresh,
    /// Makes a connection, without using it yet.
    Connect(Destination),
    /// Uses the connection made last. A fresh one is of another target: what was asked of the old
    /// one is never answered.
    Adopt {
        fresh: bool,
    },
    /// Writes down what is remembered of this target.
    Remember(Box<Session>),
    /// Gives the terminal to a program until it ends.
    Lend(Vec<String>),
    /// Paint every cell again.
    Redraw,
    Suspend,
    Quit,
}

impl Effect {
    /// Whether it changes something of the target.
    pub fn is_change(&self) -> bool {
        // A merged file on this machine is no more than a download.
        let merges = matches!(self, Self::Merge(plan) if matches!(plan.to, merge::To::Object(_)));
        let is_other = matches!(
            self,
            Self::Redrive(_)
                | Self::RedriveAll(_)
                | Self::Rerun(_)
                | Self::Canary(..)
                | Self::Repeat(..)
                | Self::Resume(_)
                | Self::Start(_)
                | Self::Stop(_)
                | Self::SetLimits(..)
        );
        merges || is_other
    }
}

/// A standing poll: wanted while what it feeds is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subscription {
    /// Looks for the state machine of that name until it is found.
    Machine(String),
    Executions(StateMachineArn),
    Execution(ExecutionArn),
    MapRun(MapRunArn),
    FailedChildren(MapRunArn),
    /// Looks through a group for the members that fit, until all are found.
    Members(MemberQuery),
    Logs(Box<Query>),
}
