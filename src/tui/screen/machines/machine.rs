//! One state machine: facts, definition, graph, versions and aliases.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::StateMachineArn;
use crate::operations::check::Level;
use crate::tui::app::App;
use crate::tui::data::{Data, MachineView, Remote};
use crate::tui::filter::Filter;
use crate::tui::graph::{Look, State};
use crate::tui::keys::Action;
use crate::tui::screen::execution::tabs;
use crate::tui::screen::{absence, machines};
use crate::tui::theme::Theme;
use crate::tui::widget::graph::Graph;
use crate::tui::widget::list::{Move, Scroll};
use crate::tui::widget::tree::{Document, Tree};
use crate::tui::widget::{figures, pane, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Summary,
    Definition,
    Graph,
    Versions,
    Checks,
}

impl Tab {
    pub fn name(self) -> &'static str {
        let known = TABS.iter().find(|(tab, _)| *tab == self);
        known.map_or("", |(_, name)| name)
    }

    /// The tab of this name, else the first.
    pub fn named(name: &str) -> Self {
        let known = TABS.iter().find(|(_, known)| *known == name);
        known.map_or(Self::Summary, |(tab, _)| *tab)
    }
}

const TABS: [(Tab, &str); 5] = [
    (Tab::Summary, "Summary"),
    (Tab::Definition, "Definition"),
    (Tab::Graph, "Graph"),
    (Tab::Versions, "Versions, aliases"),
    (Tab::Checks, "Checks"),
];

#[derive(Debug, Clone)]
pub struct Machine {
    pub arn: StateMachineArn,
    pub tab: Tab,
    scroll: Scroll,
    graph: Graph,
    tree: Option<Tree>,
    /// The document that the tree is of.
    document: Option<Arc<Document>>,
    search: Filter,
}

impl Machine {
    pub fn new(arn: StateMachineArn) -> Self {
        Self::at(arn, Tab::Summary)
    }

    pub fn at(arn: StateMachineArn, tab: Tab) -> Self {
        Self {
            arn,
            tab,
            scroll: Scroll::default(),
            graph: Graph::default(),
            tree: None,
            document: None,
            search: Filter::default(),
        }
    }

    fn view<'a>(&self, data: &'a Data) -> Option<&'a MachineView> {
        data.machine_views.get(&self.arn)?.get().map(AsRef::as_ref)
    }

    pub fn settle(&mut self, data: &Data) {
        let Some(document) = self.view(data).map(|it| Arc::clone(&it.document)) else {
            return;
        };
        let is_new = self
            .document
            .as_ref()
            .is_none_or(|it| !Arc::ptr_eq(it, &document));
        if is_new {
            self.tree = Some(Tree::new(Arc::clone(&document)));
            self.document = Some(document);
        }
    }

    pub fn turn(&mut self, by: isize) {
        let at = TABS
            .iter()
            .position(|(tab, _)| *tab == self.tab)
            .unwrap_or(0) as isize;
        self.tab = TABS[(at + by).rem_euclid(TABS.len() as isize) as usize].0;
        self.search = Filter::default();
        self.scroll = Scroll::default();
    }

    pub fn rows(&self, app: &App) -> usize {
        match self.tab {
            Tab::Graph => self
                .view(app.data())
                .map_or(0, |it| it.picture.outline.states.len()),
            Tab::Summary | Tab::Definition | Tab::Versions | Tab::Checks => 0,
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        match self.tab {
            Tab::Summary | Tab::Versions | Tab::Checks => self.scroll.go(to),
            Tab::Graph => self.graph.states.go(to, rows),
            Tab::Definition => {
                if let Some(tree) = &mut self.tree {
                    tree.go(to);
                }
            }
        }
    }

    pub fn scroll(&mut self, to: Move) {
        match self.tab {
            Tab::Graph => self.graph.pan(to),
            Tab::Summary | Tab::Definition | Tab::Versions | Tab::Checks => {
                self.go(to, usize::MAX);
            }
        }
    }

    pub fn sideways(&mut self, by: isize) {
        if self.tab == Tab::Graph {
            self.graph.sideways(by);
        }
    }

    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref().filter(|_| self.tab == Tab::Definition)
    }

    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        let shown = self.tab == Tab::Definition;
        self.tree.as_mut().filter(|_| shown)
    }

    pub fn filter(&self) -> Option<&Filter> {
        matches!(self.tab, Tab::Definition | Tab::Graph).then_some(&self.search)
    }

    pub fn set_filter(&mut self, filter: Filter) {
        let needle = filter.text().to_owned();
        self.search = filter;
        if let Some(tree) = self.tree_mut() {
            tree.search(&needle);
        }
    }

    pub fn next_match(&mut self, data: &Data, forward: bool) {
        if let Some(tree) = self.tree_mut() {
            return tree.next_match(forward);
        }
        let view = data
            .machine_views
            .get(&self.arn)
            .and_then(Remote::get)
            .cloned();
        if let Some(view) = view.filter(|_| self.tab == Tab::Graph) {
            self.graph.next_match(&view.picture, &self.search, forward);
        }
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let title = format!("Machine {}", text::middle(self.arn.name(), 60));
        let inside = pane::boxed(buffer, area, &title, Style::new());
        let area = Rect::new(
            inside.x + 1,
            inside.y,
            inside.width.saturating_sub(2),
            inside.height,
        );
        pane::line(buffer, area, 0, tabs(&TABS, self.tab, app));
        let body = Rect::new(
            area.x,
            area.y + 2,
            area.width,
            area.height.saturating_sub(2),
        );
        let known = app.data().machine_views.get(&self.arn);
        let Some(view) = self.view(app.data()) else {
            let trouble = known.and_then(Remote::trouble);
            return absence(buffer, body, trouble, "reading the state machine…", theme);
        };
        let mut title = String::new();
        match self.tab {
            Tab::Summary => self.draw_lines(&summary(self, view, app), app, buffer, body),
            Tab::Versions => self.draw_lines(&versions(view, theme), app, buffer, body),
            Tab::Checks => {
                title = view.report.as_ref().map_or_else(
                    |_| String::new(),
                    |report| format!("{report}   (✗ breaks  ! may break  i good to know  ✓ fine)"),
                );
                let lines = checks(view, theme, body.width as usize);
                self.draw_lines(&lines, app, buffer, body);
            }
            Tab::Definition => {
                if let Some(tree) = &self.tree {
                    tree.draw((buffer, body), true, theme, &app.places);
                    title = tree.matches().unwrap_or_default();
                }
            }
            Tab::Graph => {
                let look = |state: &State| Look {
                    status: state.resource.as_deref().map_or_else(String::new, short),
                    style: theme.dim(),
                };
                let at = (&app.places, body);
                title = self.graph.draw(&view.picture, &look, theme, (buffer, at));
            }
        }
        let head = Rect {
            y: area.y + 1,
            height: 1,
            ..area
        };
        let title = text::fit(&title, area.width as usize);
        pane::line(buffer, head, 0, Line::styled(title, theme.dim()));
    }

    /// Draws the lines in sight, and says how many are below.
    fn draw_lines(&self, lines: &[(String, Style)], app: &App, buffer: &mut Buffer, area: Rect) {
        let cells = area.width as usize;
        let window = self.scroll.window(lines.len(), area.height as usize);
        let hidden = lines.len() - window.end;
        for (row, (line, style)) in (0..).zip(&lines[window]) {
            pane::line(
                buffer,
                area,
                row,
                Line::styled(text::fit(line, cells), *style),
            );
        }
        if 0 < hidden && 0 < area.height {
            let key = app.keymap.key_of(Action::Down);
            let more = text::fit(&format!(" {hidden} more lines, {key} "), cells);
            let x = area.right().saturating_sub(text::width(&more) as u16);
            buffer.set_string(x.max(area.x), area.bottom() - 1, more, app.theme().bold());
        }
    }
}

/// `arn:aws:states:::lambda:invoke` as `lambda:invoke`.
fn short(resource: &str) -> String {
    resource
        .strip_prefix("arn:aws:states:::")
        .unwrap_or(resource)
        .to_owned()
}

fn row(label: &str, value: impl AsRef<str>) -> (String, Style) {
    (
        format!("  {}{}", text::left(label, 20), value.as_ref()),
        Style::new(),
    )
}

fn summary(screen: &Machine, view: &MachineView, app: &App) -> Vec<(String, Style)> {
    let theme = app.theme();
    let heading = |title: &str| (title.to_owned(), theme.bold());
    let gap = || (String::new(), Style::new());
    let detail = &view.machine.detail;
    let mut lines = vec![
        heading("State machine"),
        row("name", &detail.name),
        row("ARN", detail.arn.as_str()),
        row("type", detail.kind.as_deref().unwrap_or("?")),
        row("role", &detail.role),
    ];
    lines.extend(detail.created.map(|at| row("created", figures::full(at))));
    lines.push(row(
        "revision",
        detail.revision.as_deref().unwrap_or("the first"),
    ));
    let states = figures::count(view.picture.outline.states.len() as u64);
    let size = figures::bytes(detail.definition.len() as u64);
    lines.push(row("definition", format!("{states} states, {size}")));
    lines.extend([gap(), heading("Newest executions")]);
    match app.data().recent(&screen.arn) {
        Some(recent) => {
            lines.push(row("succeeded", machines::share(recent)));
            lines.push(row("open", machines::open(recent)));
            lines.extend(recent.newest.iter().map(|it| {
                let state = app.data().state(it, app.now);
                let word = app.data().state_word(it, app.now);
                let word = format!("{} {word:<8}", theme.glyph(state));
                let started = figures::full(it.started);
                row(&format!("  {word}"), format!("{started}  {}", it.name))
            }));
        }
        None if detail.kind.as_deref() == Some("EXPRESS") => {
            lines.push(row("", "Express executions are not listed, only logged"));
        }
        None => lines.push(row("", "not read yet")),
    }
    lines.extend([gap(), heading("Logging")]);
    match &detail.logging.level {
        Some(level) => {
            let data = if detail.logging.with_data {
                "with inputs and outputs"
            } else {
                "without inputs and outputs"
            };
            lines.push(row("level", format!("{level}, {data}")));
            lines.extend(detail.logging.groups.iter().map(|it| row("log group", it)));
        }
        None => lines.push(row("level", "OFF")),
    }
    lines.extend([gap(), heading("Tags")]);
    if view.machine.tags.is_empty() {
        lines.push(row("", "none"));
    }
    lines.extend(view.machine.tags.iter().map(|(key, value)| row(key, value)));
    lines
}

fn versions(view: &MachineView, theme: Theme) -> Vec<(String, Style)> {
    let heading = |title: String| (title, theme.bold());
    let mut lines = vec![heading("Aliases".to_owned())];
    if view.machine.aliases.is_empty() {
        lines.push(row("", "none"));
    }
    for alias in &view.machine.aliases {
        let routes: Vec<String> = alias
            .routes
            .iter()
            .map(|(version, weight)| format!("{weight} % → version {}", number(version)))
            .collect();
        lines.push(row(&alias.name, routes.join("   ")));
        lines.extend(alias.description.as_ref().map(|text| row("", text)));
    }
    let count = figures::count(view.machine.versions.len() as u64);
    lines.extend([
        (String::new(), Style::new()),
        heading(format!("Versions  {count}")),
    ]);
    if view.machine.versions.is_empty() {
        lines.push(row("", "none: only the newest revision can be started"));
    }
    lines.extend(view.machine.versions.iter().map(|it| {
        let created = figures::full(it.created);
        row(
            &format!("version {}", number(&it.arn)),
            format!("published {created}"),
        )
    }));
    lines
}

/// Lines that a text of a finding may take.
const TEXT: usize = 5;

fn checks(view: &MachineView, theme: Theme, cells: usize) -> Vec<(String, Style)> {
    let report = match &view.report {
        Ok(report) => report,
        Err(why) => return vec![(format!("not checked: {why}"), theme.bad())],
    };
    let mut lines = Vec::new();
    let mut wrapped = |first: &str, text: &str, style: Style| {
        let room = cells.saturating_sub(text::width(first));
        for (row, part) in text::wrap(text, room, TEXT).into_iter().enumerate() {
            let begin = match row {
                0 => first.to_owned(),
                _ => " ".repeat(text::width(first)),
            };
            lines.push((begin + &part, style));
        }
    };
    for finding in report.gravest_first() {
        let style = match finding.level {
            Level::Good => theme.good(),
            Level::Info => Style::new(),
            Level::Warning => theme.warn(),
            Level::Bad => theme.bad(),
        };
        let place = match finding.place.as_str() {
            "" => String::new(),
            place => format!("{place}: "),
        };
        let glyph = format!("{} ", finding.level.glyph());
        wrapped(&glyph, &format!("{place}{}", finding.text), style);
        for (what, text) in [("    why: ", &finding.why), (" change: ", &finding.change)] {
            if let Some(text) = text {
                wrapped(what, text, theme.dim());
            }
        }
    }
    let role = report.role.rsplit('/').next().unwrap_or_default();
    wrapped("", &format!("Role {role} must be allowed"), theme.bold());
    for statement in &report.statements {
        wrapped("  ", &statement.json(), Style::new());
    }
    lines
}

/// The last part of a version's ARN.
fn number(arn: &StateMachineArn) -> &str {
    arn.as_str().rsplit(':').next().unwrap_or_default()
}
