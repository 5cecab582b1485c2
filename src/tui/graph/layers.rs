//! States of one scope in layers: who stands above whom, and beside whom.
//!
//! The layered drawing of Sugiyama, with two changes that suit a terminal: a transition's label is
//! a node of its own, so nothing ever covers it, and long lines to the same state run in one trunk,
//! so that ten catchers of one handler take one column.

use std::collections::{HashMap, HashSet};

/// Nodes of a scope beyond which nobody could follow the lines.
const MOST_NODES: usize = 20_000;
/// Times that layers are sorted by what is above and below them.
const SWEEPS: usize = 8;
/// Cells between neighbours.
const GAP: i64 = 3;

/// A state as a rectangle, and where it leads: indexes among the same list.
pub struct Shape {
    pub width: i32,
    pub height: i32,
    pub edges: Vec<(usize, Option<Label>)>,
}

#[derive(Debug, Clone)]
pub struct Label {
    pub text: String,
    /// Cells, odd.
    pub width: i32,
}

#[derive(Debug)]
pub enum What {
    /// Index of the shape.
    Shape(usize),
    Label(Label),
    /// Where a line passes a layer.
    Bend,
}

#[derive(Debug)]
pub struct Node {
    pub what: What,
    pub width: i32,
    pub height: i32,
    pub layer: usize,
    /// Column of its middle.
    pub center: i32,
}

/// Nodes in layers. Links lead from one layer to the next.
#[derive(Debug)]
pub struct Layered {
    pub nodes: Vec<Node>,
    pub layers: Vec<Vec<usize>>,
    pub links: Vec<(usize, usize)>,
    /// Transitions to a layer above or the same: loops.
    pub back: Vec<(usize, usize)>,
}

impl Layered {
    /// `None` when there are too many lines to draw.
    pub fn of(shapes: &[Shape], start: Option<usize>) -> Option<Self> {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            nodes.push(Node::new(What::Shape(index), shape.width, shape.height));
        }
        let loops = loops(shapes, start);
        let mut forward = Vec::new();
        let mut back = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            for (number, (to, label)) in shape.edges.iter().enumerate() {
                let mut from = index;
                if let Some(label) = label {
                    nodes.push(Node::new(What::Label(label.clone()), label.width, 1));
                    forward.push((from, nodes.len() - 1));
                    from = nodes.len() - 1;
                }
                if loops.contains(&(index, number)) {
                    back.push((from, *to));
                } else {
                    forward.push((from, *to));
                }
            }
        }
        assign_layers(&mut nodes, &forward);
        let links = trunks(&mut nodes, &forward)?;
        let mut layered = Self {
            layers: first_order(&nodes, &links),
            nodes,
            links,
            back,
        };
        layered.sort();
        layered.place();
        Some(layered)
    }

    /// Sorts each layer by the middle of its neighbours, and keeps the order with the fewest
    /// crossings.
    fn sort(&mut self) {
        let (above, below) = self.neighbours();
        let mut best = self.layers.clone();
        // Of each node in its layer. Made once: a layer is small, and there are hundreds.
        let mut place = vec![0; self.nodes.len()];
        for layer in &self.layers {
            note_places(layer, &mut place);
        }
        let mut fewest = self.crossings(&above, &place);
        for sweep in 0..SWEEPS {
            if fewest == 0 {
                break;
            }
            let count = self.layers.len();
            for step in 1..count {
                let (layer, neighbours) = if sweep % 2 == 0 {
                    (step, &above)
                } else {
                    (count - 1 - step, &below)
                };
                let own = self.layers[layer].clone();
                let mut keyed: Vec<(f64, usize)> = own
                    .iter()
                    .enumerate()
                    .map(|(at, node)| {
                        let near = &neighbours[*node];
                        let sum: usize = near.iter().map(|it| place[*it]).sum();
                        let mean = sum as f64 / near.len().max(1) as f64;
                        (if near.is_empty() { at as f64 } else { mean }, *node)
                    })
                    .collect();
                keyed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                self.layers[layer] = keyed.into_iter().map(|(_, node)| node).collect();
                note_places(&self.layers[layer], &mut place);
            }
            let crossings = self.crossings(&above, &place);
            if crossings < fewest {
                fewest = crossings;
                best.clone_from(&self.layers);
            }
        }
        self.layers = best;
    }

    /// For each node, those that it is linked with in the layer above, and below.
    fn neighbours(&self) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let mut above = vec![Vec::new(); self.nodes.len()];
        let mut below = vec![Vec::new(); self.nodes.len()];
        for &(from, to) in &self.links {
            below[from].push(to);
            above[to].push(from);
        }
        (above, below)
    }

    fn crossings(&self, above: &[Vec<usize>], place: &[usize]) -> usize {
        let mut count = 0;
        for pair in self.layers.windows(2) {
            // Inversions, by a tree of counts.
            let mut tree = vec![0_usize; pair[0].len() + 1];
            let mut seen = 0;
            for node in &pair[1] {
                let mut ends: Vec<usize> = above[*node].iter().map(|it| place[*it] + 1).collect();
                ends.sort_unstable();
                for end in &ends {
                    let mut at = *end;
                    let mut not_right = 0;
                    while at > 0 {
                        not_right += tree[at];
                        at &= at - 1;
                    }
                    count += seen - not_right;
                }
                for end in &ends {
                    let mut at = *end;
                    while at < tree.len() {
                        tree[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                }
                seen += ends.len();
            }
        }
        count
    }

    /// Columns: each node as near to the middle of its neighbours as its layer allows.
    fn place(&mut self) {
        let (above, below) = self.neighbours();
        for layer in &self.layers {
            let wanted = vec![0.0; layer.len()];
            settle(&mut self.nodes, layer, &wanted, &vec![1.0; layer.len()]);
        }
        let rounds = SWEEPS * 2 + 1;
        for sweep in 0..rounds {
            let count = self.layers.len();
            for step in 0..count {
                let (layer, neighbours) = if sweep % 2 == 0 {
                    (step, &above)
                } else {
                    (count - 1 - step, &below)
                };
                let layer = &self.layers[layer];
                let wanted: Vec<f64> = layer
                    .iter()
                    .map(|node| middle(&self.nodes, *node, &neighbours[*node]))
                    .collect();
                let weights: Vec<f64> = layer
                    .iter()
                    .map(|node| match self.nodes[*node].what {
                        What::Bend => 8.0,
                        _ if neighbours[*node].is_empty() => 0.25,
                        _ => 1.0,
                    })
                    .collect();
                settle(&mut self.nodes, layer, &wanted, &weights);
            }
        }
        let left = self.nodes.iter().map(Node::left).min().unwrap_or(0);
        for node in &mut self.nodes {
            node.center -= left;
        }
    }
}

impl Node {
    fn new(what: What, width: i32, height: i32) -> Self {
        Self {
            what,
            width,
            height,
            layer: 0,
            center: 0,
        }
    }

    pub fn left(&self) -> i32 {
        self.center - self.width / 2
    }

    pub fn right(&self) -> i32 {
        self.left() + self.width
    }
}

/// Edges that lead back to a state on the way to them, as (shape, number of the edge).
fn loops(shapes: &[Shape], start: Option<usize>) -> HashSet<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        OnTheWay,
        Done,
    }
    let mut seen = vec![Seen::No; shapes.len()];
    let mut loops = HashSet::new();
    for root in start.into_iter().chain(0..shapes.len()) {
        if seen[root] != Seen::No {
            continue;
        }
        seen[root] = Seen::OnTheWay;
        let mut way = vec![(root, 0)];
        while let Some((at, number)) = way.pop() {
            let Some((to, _)) = shapes[at].edges.get(number) else {
                seen[at] = Seen::Done;
                continue;
            };
            way.push((at, number + 1));
            match seen[*to] {
                Seen::OnTheWay => {
                    loops.insert((at, number));
                }
                Seen::No => {
                    seen[*to] = Seen::OnTheWay;
                    way.push((*to, 0));
                }
                Seen::Done => {}
            }
        }
    }
    loops
}

/// Each node one layer below the lowest that leads to it.
fn assign_layers(nodes: &mut [Node], forward: &[(usize, usize)]) {
    let mut follow = vec![Vec::new(); nodes.len()];
    let mut waiting_for = vec![0_usize; nodes.len()];
    for &(from, to) in forward {
        follow[from].push(to);
        waiting_for[to] += 1;
    }
    let mut ready: Vec<usize> = (0..nodes.len())
        .filter(|it| waiting_for[*it] == 0)
        .collect();
    while let Some(node) = ready.pop() {
        for &next in &follow[node] {
            nodes[next].layer = nodes[next].layer.max(nodes[node].layer + 1);
            waiting_for[next] -= 1;
            if waiting_for[next] == 0 {
                ready.push(next);
            }
        }
    }
}

/// Links from layer to layer, with bends where a line passes through; lines to the same node share
/// them. `None` when there are too many.
fn trunks(nodes: &mut Vec<Node>, forward: &[(usize, usize)]) -> Option<Vec<(usize, usize)>> {
    let mut links = Vec::new();
    let mut known: HashSet<(usize, usize)> = HashSet::new();
    let mut bends: HashMap<(usize, usize), usize> = HashMap::new();
    for &(from, to) in forward {
        let mut at = from;
        let mut joined = false;
        for layer in nodes[from].layer + 1..nodes[to].layer {
            let bend = bends.get(&(to, layer)).copied();
            joined = bend.is_some();
            let bend = bend.unwrap_or_else(|| {
                nodes.push(Node {
                    layer,
                    ..Node::new(What::Bend, 1, 1)
                });
                nodes.len() - 1
            });
            bends.insert((to, layer), bend);
            if known.insert((at, bend)) {
                links.push((at, bend));
            }
            at = bend;
            if joined {
                break;
            }
        }
        if !joined && known.insert((at, to)) {
            links.push((at, to));
        }
        if nodes.len() > MOST_NODES {
            return None;
        }
    }
    Some(links)
}

/// Nodes of each layer as they are met on the way down.
fn first_order(nodes: &[Node], links: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let count = nodes.iter().map(|node| node.layer + 1).max().unwrap_or(0);
    let mut layers = vec![Vec::new(); count];
    let mut follow = vec![Vec::new(); nodes.len()];
    for &(from, to) in links {
        follow[from].push(to);
    }
    let mut seen = vec![false; nodes.len()];
    for root in 0..nodes.len() {
        let mut way = vec![root];
        while let Some(at) = way.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                layers[nodes[at].layer].push(at);
                way.extend(follow[at].iter().rev());
            }
        }
    }
    layers
}

fn note_places(layer: &[usize], place: &mut [usize]) {
    for (at, node) in layer.iter().enumerate() {
        place[*node] = at;
    }
}

/// The median of the neighbours' columns; its own where there are none.
fn middle(nodes: &[Node], node: usize, neighbours: &[usize]) -> f64 {
    let mut columns: Vec<i32> = neighbours.iter().map(|it| nodes[*it].center).collect();
    columns.sort_unstable();
    match columns.len() {
        0 => f64::from(nodes[node].center),
        len if len % 2 == 1 => f64::from(columns[len / 2]),
        len => f64::from(columns[len / 2 - 1] + columns[len / 2]) / 2.0,
    }
}

/// Moves the nodes of a layer as near to `wanted` as their order and widths allow: least squares
/// under "not to the left of", by pooling neighbours that want past each other.
fn settle(nodes: &mut [Node], layer: &[usize], wanted: &[f64], weights: &[f64]) {
    let mut shift = 0_i64;
    let mut shifts = Vec::with_capacity(layer.len());
    for (at, node) in layer.iter().enumerate() {
        if at > 0 {
            let before = &nodes[layer[at - 1]];
            let widths = i64::from(before.right() - before.center - 1)
                + i64::from(nodes[*node].center - nodes[*node].left());
            shift += widths + 1 + GAP;
        }
        shifts.push(shift);
    }
    // Mean, weight and length of each pool.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for at in 0..layer.len() {
        let mut pool = (wanted[at] - shifts[at] as f64, weights[at], 1);
        while let Some(&(mean, weight, length)) = pools.last() {
            if mean <= pool.0 {
                break;
            }
            let sum = weight + pool.1;
            pool = (
                (mean * weight + pool.0 * pool.1) / sum,
                sum,
                length + pool.2,
            );
            pools.pop();
        }
        pools.push(pool);
    }
    let columns = pools
        .iter()
        .flat_map(|(mean, _, length)| std::iter::repeat_n(mean.round() as i64, *length));
    for ((node, column), shift) in layer.iter().zip(columns).zip(shifts) {
        nodes[*node].center = (column + shift) as i32;
    }
}
