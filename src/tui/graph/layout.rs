//! Where boxes, labels and lines go.
//!
//! Each scope is laid out by itself and then is one box among those around it. Between two layers
//! runs a channel: lines leave a box at the middle of its bottom, run sideways in the channel on a
//! row that no other line has there, and enter the next box from above. What leads back up runs in a
//! lane at the right of everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::tui::graph::layers::{Label, Layered, Shape, What};
use crate::tui::graph::outline::Outline;
use crate::tui::widget::text;

/// States beyond which a picture helps nobody.
const MOST_STATES: usize = 2_000;
/// Cells of a box, without what it holds.
const NARROWEST: i32 = 21;
const WIDEST: i32 = 33;
const HEIGHT: i32 = 4;
/// Rows of a frame above what it holds: border, name, status.
const HEAD: i32 = 3;
/// Cells between the branches of a Parallel.
const BETWEEN: i32 = 3;

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;
/// The head of an arrow into the box below.
const HEAD_OF_ARROW: u8 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

impl Area {
    pub fn right(self) -> i32 {
        self.x + self.width
    }

    pub fn bottom(self) -> i32 {
        self.y + self.height
    }
}

/// The box of a state, or the frame around what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub state: usize,
    pub area: Area,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub x: i32,
    pub y: i32,
    pub text: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    pub width: i32,
    pub height: i32,
    /// Frames before what they hold.
    pub boxes: Vec<Placed>,
    pub labels: Vec<Text>,
    /// Which neighbours each cell of a line leads to, by row and column.
    pub lines: BTreeMap<(i32, i32), u8>,
}

impl Layout {
    /// `None` when there is nothing to draw, or too much.
    pub fn of(outline: &Outline) -> Option<Self> {
        if outline.states.is_empty() || outline.states.len() > MOST_STATES {
            return None;
        }
        scope(outline, 0)
    }

    pub fn area_of(&self, state: usize) -> Option<Area> {
        let mut boxes = self.boxes.iter();
        boxes.find(|it| it.state == state).map(|it| it.area)
    }

    /// Takes in a part laid out by itself.
    fn insert(&mut self, part: Self, x: i32, y: i32) {
        self.boxes.extend(part.boxes.into_iter().map(|mut it| {
            it.area.x += x;
            it.area.y += y;
            it
        }));
        self.labels.extend(part.labels.into_iter().map(|mut it| {
            it.x += x;
            it.y += y;
            it
        }));
        for ((row, column), bits) in part.lines {
            *self.lines.entry((row + y, column + x)).or_default() |= bits;
        }
    }

    fn vertical(&mut self, x: i32, from: i32, to: i32) {
        for y in from.min(to)..from.max(to) {
            *self.lines.entry((y, x)).or_default() |= DOWN;
            *self.lines.entry((y + 1, x)).or_default() |= UP;
        }
    }

    fn horizontal(&mut self, y: i32, from: i32, to: i32) {
        for x in from..to {
            *self.lines.entry((y, x)).or_default() |= RIGHT;
            *self.lines.entry((y, x + 1)).or_default() |= LEFT;
        }
    }
}

/// What stands for a cell of a line.
pub fn glyph(bits: u8) -> &'static str {
    const GLYPHS: [&str; 16] = [
        " ", "│", "│", "│", "─", "╯", "╮", "┤", "─", "╰", "╭", "├", "─", "┴", "┬", "┼",
    ];
    if bits & HEAD_OF_ARROW != 0 {
        return "▼";
    }
    GLYPHS[usize::from(bits & 15)]
}

/// Lays out one scope and what is inside its states.
fn scope(outline: &Outline, index: usize) -> Option<Layout> {
    let scope = &outline.scopes[index];
    let places: HashMap<usize, usize> = scope.states.iter().copied().zip(0..).collect();
    let mut shapes = Vec::new();
    let mut held = Vec::new();
    for state in &scope.states {
        let state = &outline.states[*state];
        let parts: Option<Vec<Layout>> = state
            .inside
            .iter()
            .map(|it| self::scope(outline, *it))
            .collect();
        let parts = parts?;
        let (width, height) = size(&state.name, &parts);
        let edges = state.edges.iter();
        let edges = edges.filter_map(|edge| {
            let label = edge.label.as_ref().map(|text| Label {
                text: text.clone(),
                width: text::width(text) as i32 | 1,
            });
            Some((*places.get(&edge.to)?, label))
        });
        shapes.push(Shape {
            width,
            height,
            edges: edges.collect(),
        });
        held.push(parts);
    }
    let start = scope.start.and_then(|start| places.get(&start).copied());
    let layered = Layered::of(&shapes, start)?;
    let mut layout = Router::new(&layered).route();
    let mut boxes = std::mem::take(&mut layout.boxes);
    boxes.sort_by_key(|it| it.state);
    for (placed, parts) in boxes.into_iter().zip(held) {
        let Area { x, y, width, .. } = placed.area;
        let state = scope.states[placed.state];
        layout.boxes.push(Placed { state, ..placed });
        let room: i32 = parts.iter().map(|it| it.width).sum::<i32>()
            + BETWEEN * (parts.len() as i32 - 1).max(0);
        let mut left = x + (width - room) / 2;
        for part in parts {
            let width = part.width;
            layout.insert(part, left, y + HEAD);
            left += width + BETWEEN;
        }
    }
    Some(layout)
}

/// Cells of a state's box; the width is odd, so that it has a middle.
fn size(name: &str, parts: &[Layout]) -> (i32, i32) {
    let name = text::width(&text::visible(name)) as i32;
    // A frame tells of more: how many items its Map has done.
    let least = if parts.is_empty() { NARROWEST } else { WIDEST };
    let own = (name + 4).clamp(least, WIDEST);
    let room: i32 = parts.iter().map(|it| it.width + BETWEEN).sum();
    let width = own.max(room - BETWEEN + 4);
    let height = parts.iter().map(|it| it.height + HEAD + 1).max();
    (width | 1, height.unwrap_or(HEIGHT))
}

/// Lines of one channel that run together: they have one end in common.
#[derive(Debug, Default)]
struct Net {
    /// Nodes above, whose bottoms the lines leave.
    above: Vec<usize>,
    /// Nodes below, that the lines enter.
    below: Vec<usize>,
    /// Target whose lane the lines come from or lead to.
    lane: Option<usize>,
    /// Row of the channel, from 0.
    row: i32,
}

struct Router<'a> {
    layered: &'a Layered,
    /// First row of each layer, and the row after its last.
    rows: Vec<(i32, i32)>,
    /// Column of the lane back to each node that is led back to.
    lanes: BTreeMap<usize, i32>,
    layout: Layout,
}

impl<'a> Router<'a> {
    fn new(layered: &'a Layered) -> Self {
        let width = layered
            .nodes
            .iter()
            .map(crate::tui::graph::layers::Node::right);
        let width = width.max().unwrap_or(0);
        // The shortest way back runs innermost.
        let mut spans: BTreeMap<usize, usize> = BTreeMap::new();
        for &(from, to) in &layered.back {
            let span = layered.nodes[from].layer - layered.nodes[to].layer;
            let longest = spans.entry(to).or_default();
            *longest = span.max(*longest);
        }
        let mut targets: Vec<(usize, usize)> =
            spans.into_iter().map(|(to, span)| (span, to)).collect();
        targets.sort_unstable();
        let lanes: BTreeMap<usize, i32> = targets
            .into_iter()
            .zip(0..)
            .map(|((_, to), number)| (to, width + 1 + 2 * number))
            .collect();
        let layout = Layout {
            width: lanes.values().max().map_or(width, |last| last + 1),
            ..Layout::default()
        };
        Self {
            layered,
            rows: Vec::new(),
            lanes,
            layout,
        }
    }

    fn route(mut self) -> Layout {
        let layers = self.layered.layers.len();
        let mut channels: Vec<Vec<Net>> = self.nets();
        let mut tops = Vec::new();
        let mut y = 0;
        for (number, nets) in channels.iter_mut().enumerate() {
            let used = self.assign_rows(nets);
            tops.push(y);
            y += used;
            if number < layers {
                let enters_box = nets
                    .iter()
                    .flat_map(|net| &net.below)
                    .any(|it| self.is_box(*it));
                let has_lines = !nets.is_empty();
                y += i32::from(enters_box || (has_lines && used == 0));
                let height = self.layered.layers[number]
                    .iter()
                    .map(|it| self.layered.nodes[*it].height)
                    .max();
                let height = height.unwrap_or(0);
                self.rows.push((y, y + height));
                y += height;
            }
        }
        self.layout.height = y;
        self.draw_nodes();
        let mut lanes: BTreeMap<usize, BTreeSet<i32>> = BTreeMap::new();
        for (top, nets) in tops.into_iter().zip(channels) {
            for net in nets {
                self.draw_net(&net, top + net.row);
                if let Some(lane) = net.lane {
                    lanes.entry(lane).or_default().insert(top + net.row);
                }
            }
        }
        for (lane, rows) in lanes {
            let x = self.lanes[&lane];
            if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
                self.layout.vertical(x, *first, *last);
            }
        }
        self.layout
    }

    fn is_box(&self, node: usize) -> bool {
        matches!(self.layered.nodes[node].what, What::Shape(_))
    }

    fn center(&self, node: usize) -> i32 {
        self.layered.nodes[node].center
    }

    /// The nets of each channel: the first is above all layers, the last below them.
    fn nets(&self) -> Vec<Vec<Net>> {
        let layers = self.layered.layers.len();
        let nodes = &self.layered.nodes;
        // By channel and by what is entered.
        let mut entering: Vec<BTreeMap<usize, Net>> =
            (0..=layers).map(|_| BTreeMap::new()).collect();
        let mut leaving: Vec<BTreeMap<usize, Net>> =
            (0..=layers).map(|_| BTreeMap::new()).collect();
        for &(from, to) in &self.layered.links {
            let net = entering[nodes[to].layer].entry(to).or_default();
            net.below = vec![to];
            net.above.push(from);
        }
        for &(from, to) in &self.layered.back {
            let net = entering[nodes[to].layer].entry(to).or_default();
            net.below = vec![to];
            net.lane = Some(to);
            let net = leaving[nodes[from].layer + 1].entry(to).or_default();
            net.lane = Some(to);
            if !net.above.contains(&from) {
                net.above.push(from);
            }
        }
        entering
            .into_iter()
            .zip(leaving)
            .map(|(entering, leaving)| {
                let mut nets: Vec<Net> = leaving.into_values().collect();
                // Branches of one state, each with no other way in, run together.
                let mut branches: BTreeMap<usize, Net> = BTreeMap::new();
                for net in entering.into_values() {
                    match (net.above.as_slice(), net.lane) {
                        ([only], None) => {
                            let branch = branches.entry(*only).or_default();
                            branch.above = vec![*only];
                            branch.below.extend(net.below);
                        }
                        _ => nets.push(net),
                    }
                }
                nets.extend(branches.into_values());
                nets
            })
            .collect()
    }

    /// First and last column of a net.
    fn span(&self, net: &Net) -> (i32, i32) {
        let lane = net.lane.map(|lane| self.lanes[&lane]);
        let ends = net.above.iter().chain(&net.below);
        let columns = ends.map(|it| self.center(*it)).chain(lane);
        columns.fold((i32::MAX, i32::MIN), |(first, last), x| {
            (first.min(x), last.max(x))
        })
    }

    /// Gives each net that runs sideways a row; returns how many rows there are. Where one net
    /// leaves a box in the column in which another enters one, the first runs above.
    fn assign_rows(&self, nets: &mut [Net]) -> i32 {
        let spans: Vec<(i32, i32)> = nets.iter().map(|net| self.span(net)).collect();
        let mut leaves: HashMap<i32, Vec<usize>> = HashMap::new();
        for (index, net) in nets.iter().enumerate() {
            for node in &net.above {
                leaves.entry(self.center(*node)).or_default().push(index);
            }
        }
        let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); nets.len()];
        for (index, net) in nets.iter().enumerate() {
            for node in &net.below {
                let others = leaves.get(&self.center(*node)).into_iter().flatten();
                before[index].extend(others.filter(|other| **other != index));
            }
        }
        let mut left: Vec<usize> = (0..nets.len())
            .filter(|it| spans[*it].0 < spans[*it].1)
            .collect();
        left.sort_by_key(|it| spans[*it]);
        let mut rows: Vec<Vec<usize>> = Vec::new();
        while !left.is_empty() {
            let is_free = |it: &usize| before[*it].iter().all(|other| !left.contains(other));
            // Where each waits for another, one of them has to begin.
            let at = left.iter().position(is_free).unwrap_or(0);
            let index = left.remove(at);
            let placed = |other: &usize| rows.iter().position(|row| row.contains(other));
            let first = before[index]
                .iter()
                .filter_map(placed)
                .max()
                .map_or(0, |row| row + 1);
            let (from, to) = spans[index];
            let fits = |row: &Vec<usize>| {
                let apart = |other: &usize| to + 1 < spans[*other].0 || spans[*other].1 + 1 < from;
                row.iter().all(apart)
            };
            let row = (first..rows.len())
                .find(|row| fits(&rows[*row]))
                .unwrap_or(rows.len().max(first));
            if row == rows.len() {
                rows.push(Vec::new());
            }
            rows[row].push(index);
            nets[index].row = row as i32;
        }
        rows.len() as i32
    }

    fn draw_nodes(&mut self) {
        for (layer, nodes) in self.layered.layers.iter().enumerate() {
            let (top, bottom) = self.rows[layer];
            for &index in nodes {
                let node = &self.layered.nodes[index];
                match &node.what {
                    What::Shape(state) => self.layout.boxes.push(Placed {
                        state: *state,
                        area: Area {
                            x: node.left(),
                            y: top,
                            width: node.width,
                            height: node.height,
                        },
                    }),
                    What::Label(label) => {
                        // The line goes on below the words.
                        self.layout.lines.insert((top, node.center), UP | DOWN);
                        self.layout.labels.push(Text {
                            x: node.left(),
                            y: top,
                            text: label.text.clone(),
                        });
                    }
                    What::Bend => self.layout.vertical(node.center, top, bottom - 1),
                }
            }
        }
    }

    fn draw_net(&mut self, net: &Net, row: i32) {
        let (from, to) = self.span(net);
        if from < to {
            self.layout.horizontal(row, from, to);
        }
        for &index in &net.above {
            let node = &self.layered.nodes[index];
            let (top, bottom) = self.rows[node.layer];
            let last = match node.what {
                What::Bend => bottom - 1,
                What::Shape(_) | What::Label(_) => top + node.height - 1,
            };
            self.layout.vertical(node.center, last, row);
            if self.is_box(index) {
                *self.layout.lines.entry((last, node.center)).or_default() |= LEFT | RIGHT;
            }
        }
        for &index in &net.below {
            let node = &self.layered.nodes[index];
            let (top, _) = self.rows[node.layer];
            if self.is_box(index) {
                self.layout.vertical(node.center, row, top - 1);
                *self.layout.lines.entry((top - 1, node.center)).or_default() |= HEAD_OF_ARROW;
            } else {
                self.layout.vertical(node.center, row, top);
            }
        }
    }
}
