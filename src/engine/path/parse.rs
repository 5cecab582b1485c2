//! Text → [`Path`] and [`Expression`].

use serde_json::Value;

use super::{Comparison, Expression, Filter, Operand, Path, Root, Segment, intrinsics};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("not a valid path at character {0}")]
    Syntax(usize),
    #[error("unknown intrinsic function {0}")]
    UnknownFunction(String),
}

/// Deeper nesting of filters and calls is refused, so that no input can exhaust the stack.
const MAX_DEPTH: usize = 32;

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

pub(super) fn path(text: &str) -> Result<Path, PathError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    let path = parser.path()?;
    parser.end()?;
    Ok(path)
}

pub(super) fn call(text: &str) -> Result<Expression, PathError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    let call = parser.call()?;
    parser.end()?;
    Ok(call)
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), PathError> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn blanks(&mut self) {
        while self.eat(" ") {}
    }

    fn error(&self) -> PathError {
        PathError::Syntax(self.at)
    }

    fn end(&mut self) -> Result<(), PathError> {
        self.blanks();
        if self.rest().is_empty() {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn deeper(&mut self) -> Result<(), PathError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(self.error())
        } else {
            Ok(())
        }
    }

    fn path(&mut self) -> Result<Path, PathError> {
        let start = self.at;
        self.expect("$")?;
        let root = if self.eat("$") {
            Root::Context
        } else {
            self.variable()
        };
        let segments = self.segments()?;
        Ok(Path {
            text: self.text[start..self.at].to_owned(),
            root,
            segments,
        })
    }

    /// `$name` starts at a variable, `$` alone at the input.
    fn variable(&mut self) -> Root {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let length = self
            .rest()
            .find(|c| !is_part(c))
            .unwrap_or(self.rest().len());
        if length == 0 {
            return Root::Input;
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Root::Variable(name)
    }

    fn segments(&mut self) -> Result<Vec<Segment>, PathError> {
        let mut segments = Vec::new();
        loop {
            if self.eat("..") {
                segments.push(Segment::Descend);
                let segment = if self.eat("[") {
                    self.bracket()?
                } else {
                    self.dotted()?
                };
                segments.push(match segment {
                    Segment::Filter(filter) => Segment::FilterHere(filter),
                    segment => segment,
                });
            } else if self.eat(".") {
                segments.push(self.dotted()?);
            } else if self.eat("[") {
                segments.push(self.bracket()?);
            } else {
                return Ok(segments);
            }
        }
    }

    /// What is after a dot.
    fn dotted(&mut self) -> Result<Segment, PathError> {
        if self.eat("*") {
            return Ok(Segment::Wildcard);
        }
        self.name().map(Segment::Key)
    }

    /// A name after a dot: everything up to what can follow a name. AWS accepts dashes here.
    fn name(&mut self) -> Result<String, PathError> {
        let is_end = |c: char| ".[](){}'\",=<>!&|?@*\\ \t\n".contains(c);
        let length = self.rest().find(is_end).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(self.error());
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Ok(name)
    }

    fn bracket(&mut self) -> Result<Segment, PathError> {
        self.blanks();
        let segment = match self.peek() {
            Some('*') => {
                self.at += 1;
                Segment::Wildcard
            }
            Some('\'' | '"') => {
                let mut keys = vec![self.quoted()?];
                while self.comma() {
                    keys.push(self.quoted()?);
                }
                if keys.len() == 1 {
                    Segment::Key(keys.remove(0))
                } else {
                    Segment::Keys(keys)
                }
            }
            Some('?') => {
                self.at += 1;
                self.blanks();
                self.expect("(")?;
                let filter = self.or()?;
                self.blanks();
                self.expect(")")?;
                Segment::Filter(filter)
            }
            _ => self.indexes()?,
        };
        self.blanks();
        self.expect("]")?;
        Ok(segment)
    }

    fn comma(&mut self) -> bool {
        self.blanks();
        let found = self.eat(",");
        if found {
            self.blanks();
        }
        found
    }

    fn indexes(&mut self) -> Result<Segment, PathError> {
        let first = self.integer();
        if self.eat(":") {
            return Ok(Segment::Slice(first, self.integer()));
        }
        let mut indexes = vec![first.ok_or_else(|| self.error())?];
        while self.comma() {
            indexes.push(self.integer().ok_or_else(|| self.error())?);
        }
        if indexes.len() == 1 {
            Ok(Segment::Index(indexes[0]))
        } else {
            Ok(Segment::Indexes(indexes))
        }
    }

    fn integer(&mut self) -> Option<i64> {
        let digits = self.rest().find(|c: char| !c.is_ascii_digit() && c != '-');
        let length = digits.unwrap_or(self.rest().len());
        let number = self.rest()[..length].parse().ok()?;
        self.at += length;
        Some(number)
    }

    /// A string in single or double quotes. A backslash escapes the quote and itself; before
    /// anything else it stands for itself (recorded from AWS).
    fn quoted(&mut self) -> Result<String, PathError> {
        self.string(|escaped, quote| match escaped {
            '\\' => Some("\\".to_owned()),
            escaped if escaped == quote => Some(escaped.to_string()),
            other => Some(format!("\\{other}")),
        })
    }

    /// A string argument of an intrinsic function: a backslash may stand before a quote, a brace
    /// and itself only (developer guide, "Reserved characters in intrinsic functions"). Of a
    /// `template`, braces and backslashes stay escaped: they are read once more.
    fn argument_string(&mut self, is_template: bool) -> Result<String, PathError> {
        self.string(|escaped, _| match escaped {
            '\'' => Some("'".to_owned()),
            '{' | '}' | '\\' if is_template => Some(format!("\\{escaped}")),
            '{' | '}' | '\\' => Some(escaped.to_string()),
            _ => None,
        })
    }

    fn string(
        &mut self,
        unescape: impl Fn(char, char) -> Option<String>,
    ) -> Result<String, PathError> {
        let quote = self
            .peek()
            .filter(|c| matches!(c, '\'' | '"'))
            .ok_or_else(|| self.error())?;
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or_else(|| self.error())?;
            self.at += c.len_utf8();
            match c {
                '\\' => {
                    let escaped = self.peek().ok_or_else(|| self.error())?;
                    text.push_str(&unescape(escaped, quote).ok_or_else(|| self.error())?);
                    self.at += escaped.len_utf8();
                }
                c if c == quote => return Ok(text),
                c => text.push(c),
            }
        }
    }

    fn or(&mut self) -> Result<Filter, PathError> {
        self.deeper()?;
        let mut left = self.and()?;
        self.blanks();
        while self.eat("||") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
            self.blanks();
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, PathError> {
        let mut left = self.condition()?;
        self.blanks();
        while self.eat("&&") {
            left = Filter::And(Box::new(left), Box::new(self.condition()?));
            self.blanks();
        }
        Ok(left)
    }

    fn condition(&mut self) -> Result<Filter, PathError> {
        self.blanks();
        if self.eat("!") {
            self.deeper()?;
            let inner = self.condition()?;
            self.depth -= 1;
            return Ok(Filter::Not(Box::new(inner)));
        }
        if self.eat("(") {
            let inner = self.or()?;
            self.blanks();
            self.expect(")")?;
            return Ok(inner);
        }
        let left = self.operand()?;
        self.blanks();
        let Some(comparison) = self.comparison() else {
            return match left {
                Operand::Here(segments) => Ok(Filter::Exists(segments)),
                Operand::Literal(_) => Err(self.error()),
            };
        };
        self.blanks();
        Ok(Filter::Compare(left, comparison, self.operand()?))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        const TABLE: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        TABLE
            .iter()
            .find(|(token, _)| self.eat(token))
            .map(|(_, comparison)| *comparison)
    }

    fn operand(&mut self) -> Result<Operand, PathError> {
        if self.eat("@") {
            self.deeper()?;
            let segments = self.segments()?;
            self.depth -= 1;
            return Ok(Operand::Here(segments));
        }
        self.literal().map(Operand::Literal)
    }

    fn literal(&mut self) -> Result<Value, PathError> {
        if matches!(self.peek(), Some('\'' | '"')) {
            return self.quoted().map(Value::String);
        }
        for (token, value) in [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ] {
            if self.eat(token) {
                return Ok(value);
            }
        }
        let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let length = self
            .rest()
            .find(|c| !is_number(c))
            .unwrap_or(self.rest().len());
        let number = self.rest()[..length].parse::<serde_json::Number>();
        let number = number.map_err(|_| self.error())?;
        self.at += length;
        Ok(Value::Number(number))
    }

    fn call(&mut self) -> Result<Expression, PathError> {
        self.deeper()?;
        let start = self.at;
        let length = self.rest().find('(').ok_or_else(|| self.error())?;
        let name = self.rest()[..length].to_owned();
        if !intrinsics::NAMES.contains(&name.as_str()) {
            return Err(PathError::UnknownFunction(name));
        }
        self.at += length + 1;
        let mut arguments = Vec::new();
        self.blanks();
        if !self.eat(")") {
            loop {
                let is_template = name == "States.Format" && arguments.is_empty();
                arguments.push(self.argument(is_template)?);
                if !self.comma() {
                    break;
                }
            }
            self.blanks();
            self.expect(")")?;
        }
        self.depth -= 1;
        Ok(Expression::Call {
            name,
            arguments,
            text: self.text[start..self.at].to_owned(),
        })
    }

    fn argument(&mut self, is_template: bool) -> Result<Expression, PathError> {
        match self.peek() {
            Some('$') => self.path().map(Expression::Path),
            Some('\'') => self
                .argument_string(is_template)
                .map(|text| Expression::Constant(Value::String(text))),
            Some('S') => self.call(),
            _ => self.literal().map(Expression::Constant),
        }
    }
}
