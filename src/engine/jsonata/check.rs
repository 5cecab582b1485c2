//! What AWS refuses of an expression when a state machine is created.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};
use jsonata_core::parser::{self, ParserError};

use crate::engine::query::Sees;

pub(super) const INVALID: &str = "INVALID_JSONATA_EXPRESSION";
const UNSUPPORTED: &str = "UNSUPPORTED_JSONATA_EXPRESSION";

/// Functions, which are read like variables when they are passed on.
const FUNCTIONS: [&str; 68] = [
    "abs",
    "append",
    "assert",
    "average",
    "base64decode",
    "base64encode",
    "boolean",
    "ceil",
    "contains",
    "count",
    "decodeUrl",
    "decodeUrlComponent",
    "distinct",
    "each",
    "encodeUrl",
    "encodeUrlComponent",
    "error",
    "eval",
    "exists",
    "filter",
    "floor",
    "formatBase",
    "formatInteger",
    "formatNumber",
    "fromMillis",
    "hash",
    "join",
    "keys",
    "length",
    "lookup",
    "lowercase",
    "map",
    "match",
    "max",
    "merge",
    "millis",
    "min",
    "not",
    "now",
    "number",
    "pad",
    "parse",
    "parseInteger",
    "partition",
    "power",
    "random",
    "range",
    "reduce",
    "replace",
    "reverse",
    "round",
    "shuffle",
    "sift",
    "single",
    "sort",
    "split",
    "spread",
    "sqrt",
    "string",
    "substring",
    "substringAfter",
    "substringBefore",
    "sum",
    "toMillis",
    "trim",
    "type",
    "uppercase",
    "uuid",
];

type Refusals = Vec<(&'static str, String)>;

/// The syntax tree, and the workflow variables that it may read.
pub(super) fn parse(text: &str, sees: Sees) -> Result<(AstNode, BTreeSet<String>), Refusals> {
    let ast = parser::parse(text).map_err(|error| vec![(INVALID, in_symbols(&error))])?;
    let mut walk = Walk {
        sees,
        bound: vec!["states".to_owned()],
        variables: BTreeSet::new(),
        refusals: Vec::new(),
    };
    walk.node(&ast, true);
    if walk.refusals.is_empty() {
        Ok((ast, walk.variables))
    } else {
        Err(walk.refusals)
    }
}

/// The parser's message in JSONata's own words: without its code, tokens as they are written.
fn in_symbols(error: &ParserError) -> String {
    if let ParserError::Expected { expected, found } = error
        && found != "Eof"
    {
        return format!(
            "Expected \"{}\", got \"{}\"",
            symbol(expected),
            symbol(found)
        );
    }
    let message = error.to_string();
    let message = match message.split_once(": ") {
        Some((code, rest)) if code.len() == 5 && code.starts_with('S') => rest,
        _ => &message,
    };
    match message
        .split_once("The symbol ")
        .map(|(_, rest)| rest.split_once(' '))
    {
        Some(Some((token, rest))) => format!("The symbol \"{}\" {rest}", symbol(token)),
        _ => message.to_owned(),
    }
}

/// A token as it is written.
fn symbol(token: &str) -> &str {
    const TABLE: [(&str, &str); 24] = [
        ("LeftParen", "("),
        ("RightParen", ")"),
        ("LeftBracket", "["),
        ("RightBracket", "]"),
        ("LeftBrace", "{"),
        ("RightBrace", "}"),
        ("Comma", ","),
        ("Semicolon", ";"),
        ("Colon", ":"),
        ("Dot", "."),
        ("Question", "?"),
        ("ColonEqual", ":="),
        ("Plus", "+"),
        ("Slash", "/"),
        ("Percent", "%"),
        ("Equal", "="),
        ("NotEqual", "!="),
        ("LessThan", "<"),
        ("GreaterThan", ">"),
        ("Ampersand", "&"),
        ("Pipe", "|"),
        ("Caret", "^"),
        ("At", "@"),
        ("Hash", "#"),
    ];
    let found = TABLE.iter().find(|(name, _)| *name == token);
    found.map_or(token, |(_, symbol)| symbol)
}

struct Walk {
    sees: Sees,
    /// Names that the expression itself binds, innermost last.
    bound: Vec<String>,
    variables: BTreeSet<String>,
    refusals: Refusals,
}

impl Walk {
    fn refuse(&mut self, message: String) {
        let refusal = (UNSUPPORTED, message);
        if !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }

    /// Walks a node. `top`: names in it would be read from the evaluation's own input, which a
    /// state does not have.
    fn node(&mut self, node: &AstNode, top: bool) {
        match node {
            AstNode::Name(name) if top => {
                self.refuse(format!(
                    "Reference to '{name}' at the top level is not supported."
                ));
            }
            AstNode::Variable(name) if name.is_empty() => {
                if top {
                    self.refuse("Reference to '$' at the top level is not supported.".to_owned());
                }
            }
            AstNode::Variable(name) => self.variable(name),
            AstNode::ParentVariable(name) if name.is_empty() => {
                self.refuse("Reference to '$$' is not supported.".to_owned());
            }
            AstNode::Path { steps } => self.path(steps, top),
            AstNode::Binary { op, lhs, rhs } => self.binary(*op, lhs, rhs, top),
            AstNode::Unary { operand, .. } => self.node(operand, top),
            AstNode::Function { args, .. } => self.all(args, top),
            AstNode::Call { procedure, args } => {
                self.node(procedure, top);
                self.all(args, top);
            }
            AstNode::Lambda { params, body, .. } => {
                let depth = self.bound.len();
                self.bound.extend(params.iter().cloned());
                self.node(body, top);
                self.bound.truncate(depth);
            }
            AstNode::Array(nodes) | AstNode::ArrayGroup(nodes) => self.all(nodes, top),
            AstNode::Block(nodes) => {
                let depth = self.bound.len();
                self.all(nodes, top);
                self.bound.truncate(depth);
            }
            AstNode::Object(pairs) => self.pairs(pairs, top),
            AstNode::ObjectTransform { input, pattern } => {
                self.node(input, top);
                self.pairs(pattern, false);
            }
            AstNode::Conditional {
                condition,
                then_branch,
                else_branch,
            } => {
                self.node(condition, top);
                self.node(then_branch, top);
                if let Some(node) = else_branch {
                    self.node(node, top);
                }
            }
            AstNode::FunctionApplication(inner) => self.node(inner, false),
            AstNode::Sort { input, terms } => {
                self.node(input, top);
                for (term, _) in terms {
                    self.node(term, false);
                }
            }
            AstNode::Transform {
                location,
                update,
                delete,
            } => {
                self.node(location, false);
                self.node(update, false);
                if let Some(node) = delete {
                    self.node(node, false);
                }
            }
            AstNode::String(_)
            | AstNode::Name(_)
            | AstNode::Number(_)
            | AstNode::Boolean(_)
            | AstNode::Null
            | AstNode::Undefined
            | AstNode::Placeholder
            | AstNode::Regex { .. }
            | AstNode::ParentVariable(_)
            | AstNode::Wildcard
            | AstNode::Descendant
            | AstNode::Parent(_) => {}
        }
    }

    fn all(&mut self, nodes: &[AstNode], top: bool) {
        for node in nodes {
            self.node(node, top);
        }
    }

    fn pairs(&mut self, pairs: &[(AstNode, AstNode)], top: bool) {
        for (key, value) in pairs {
            self.node(key, top);
            self.node(value, top);
        }
    }

    fn binary(&mut self, op: BinaryOp, lhs: &AstNode, rhs: &AstNode, top: bool) {
        match (op, lhs) {
            (BinaryOp::Coalesce, _) => self.unknown("??"),
            (BinaryOp::Default, _) => self.unknown("?:"),
            (BinaryOp::ColonEqual, AstNode::Variable(name)) => {
                // A lambda may speak of its own name.
                self.bound.push(name.clone());
                self.node(rhs, top);
                return;
            }
            _ => {}
        }
        self.node(lhs, top);
        self.node(rhs, top);
    }

    /// An operator that is newer than AWS's JSONata.
    fn unknown(&mut self, operator: &str) {
        self.refusals
            .push((INVALID, format!("Unknown operator: \"{operator}\"")));
    }

    fn variable(&mut self, name: &str) {
        if !FUNCTIONS.contains(&name) && !self.bound.iter().any(|bound| bound == name) {
            self.variables.insert(name.to_owned());
        }
    }

    fn path(&mut self, steps: &[PathStep], top: bool) {
        if let [first, second, ..] = steps
            && matches!(&first.node, AstNode::Variable(name) if name == "states")
            && let AstNode::Name(member) = &second.node
        {
            let exists = match member.as_str() {
                "input" | "context" => true,
                "result" => self.sees == Sees::Result,
                "errorOutput" => self.sees == Sees::Error,
                _ => false,
            };
            if !exists {
                self.refuse(format!("Field '$states.{member}' does not exist."));
            }
        }
        for (index, step) in steps.iter().enumerate() {
            self.node(&step.node, top && index == 0);
            self.bound.extend(step.focus.iter().cloned());
            self.bound.extend(step.index_var.iter().cloned());
            for stage in &step.stages {
                if let Stage::Filter(filter) = stage {
                    self.node(filter, false);
                }
            }
        }
    }
}
