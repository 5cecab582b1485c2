//! What is known of an object's bytes: a window of a few pages that moves with the reader, cut into
//! rows. However large the object, and however long its lines, the window stays small.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::model::Object;
use crate::operations::outputs::{DOCUMENT, Hit, PAGE, Packing, Page};
use crate::tui::widget::text;
use crate::tui::widget::tree::Document;

mod form;

pub use form::Form;
use form::{OCTETS, fields, octets};

/// Pages kept.
const PAGES: u64 = 4;
/// Bytes of a row: longer lines take several.
const ROW: usize = 500;
/// Rows read in advance, before and after those shown.
const AHEAD: usize = 10;
const BEHIND: usize = 20;
/// Most rows read in advance, however tall the terminal.
const MOST_AHEAD: usize = 250;
/// Rows of a table that decide how wide its columns are, and how wide one may be.
const MEASURED: usize = 200;
const WIDEST: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Place of its first byte in the object.
    pub at: u64,
    len: usize,
    /// The line's number, of a row that begins a line whose number is known.
    pub line: Option<NonZeroU64>,
}

impl Row {
    pub fn end(&self) -> u64 {
        self.at + self.len as u64
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    pub object: Object,
    pub form: Form,
    pub packing: Option<Packing>,
    /// Why what is packed could be unpacked no further.
    pub trouble: Option<String>,
    /// Place of the first byte of the window.
    start: u64,
    bytes: Vec<u8>,
    /// Where what can be shown ends.
    end: u64,
    /// Number of the line that the window begins with or in.
    line: Option<NonZeroU64>,
    rows: Vec<Row>,
    /// Of JSON.
    pub document: Option<Arc<Document>>,
    /// Bytes from which the document was made, where they are not all.
    pub begun: Option<u64>,
    /// Fields of the first line of a table, and how wide its columns are.
    pub header: Vec<String>,
    pub widths: Vec<usize>,
}

impl Preview {
    /// Begins with any page of an object.
    pub fn new(object: Object, page: Page) -> Self {
        let mut preview = Self {
            form: form::of(&object, &page),
            packing: page.packing,
            trouble: page.trouble,
            start: page.range.start,
            end: object.size,
            object,
            bytes: page.bytes,
            line: (page.range.start == 0).then_some(NonZeroU64::MIN),
            rows: Vec::new(),
            document: None,
            begun: None,
            header: Vec::new(),
            widths: Vec::new(),
        };
        if preview.packing.is_some() {
            preview.end = preview.bytes.len() as u64;
        }
        if preview.form == Form::Json && preview.packing.is_none() && preview.is_complete() {
            let text = String::from_utf8_lossy(&preview.bytes);
            preview.document = Some(Arc::new(Document::read(&text)));
        }
        preview.cut();
        preview.measure();
        preview
    }

    /// Whether more of the object is to be read, to show it as a document.
    pub fn wants_document(&self) -> bool {
        self.form == Form::Json && self.document.is_none()
    }

    /// Takes in the document; without one, what looked like JSON is text.
    pub fn put_document(&mut self, read: Beginning) {
        if read.document.is_none() {
            self.form = Form::Text;
        }
        (self.document, self.begun) = (read.document, read.begun);
    }

    /// Lets go of a document that can be read again.
    pub fn drop_document(&mut self) {
        if !self.is_complete() || self.packing.is_some() {
            self.document = None;
        }
    }

    /// Takes in another page: one beside the window moves it, any other one takes its place. `hits`
    /// tell the numbers of lines after a jump.
    pub fn put(&mut self, page: Page, hits: &[Hit]) {
        if self.is_complete() {
            return;
        }
        let (start, end) = (self.start, self.window_end());
        let most = (PAGES * PAGE) as usize;
        if page.range.start == end {
            self.bytes.extend_from_slice(&page.bytes);
            let surplus = self.bytes.len().saturating_sub(most);
            let cut = self
                .rows
                .iter()
                .find(|row| surplus as u64 <= row.at - start);
            let cut = cut.map_or(0, |row| (row.at - start) as usize);
            self.line = self.number(newlines(&self.bytes[..cut]), true);
            self.bytes.drain(..cut);
            self.start += cut as u64;
        } else if page.range.start < start && start <= page.range.end {
            let before = &page.bytes[..(start - page.range.start) as usize];
            self.line = self.number(newlines(before), false);
            self.bytes.splice(..0, before.iter().copied());
            self.bytes.truncate(most);
            self.start = page.range.start;
        } else {
            self.start = page.range.start;
            self.bytes = page.bytes;
            self.line = (self.start == 0).then_some(NonZeroU64::MIN);
        }
        if self.line.is_none() {
            self.line = self.line_by(hits);
        }
        self.cut();
    }

    fn number(&self, lines: u64, is_later: bool) -> Option<NonZeroU64> {
        let line = self.line?.get();
        let moved = match is_later {
            true => line.checked_add(lines),
            false => line.checked_sub(lines),
        };
        moved.and_then(NonZeroU64::new)
    }

    fn line_by(&self, hits: &[Hit]) -> Option<NonZeroU64> {
        let here = self.start..self.window_end();
        let hit = hits.iter().find(|hit| here.contains(&hit.at))?;
        let before = newlines(&self.bytes[..(hit.at - self.start) as usize]);
        NonZeroU64::new(hit.line.checked_sub(before)?)
    }

    /// Whether everything that can be shown is here.
    pub fn is_complete(&self) -> bool {
        self.start == 0 && self.window_end() >= self.end
    }

    fn window_end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Where the next page should begin for someone who reads `height` rows from `at` on; `None`
    /// while enough is here.
    pub fn wanted(&self, at: u64, height: usize) -> Option<u64> {
        if self.is_complete() || self.packing.is_some() {
            return None;
        }
        let here = self.start..=self.window_end();
        if !here.contains(&at) || (at == self.window_end() && at < self.end) {
            // A jump: a part of the page lies before the place.
            let before = if at >= self.end { PAGE } else { PAGE / 4 };
            let page = at.min(self.end).saturating_sub(before);
            return Some(page).filter(|page| *page != self.start || self.bytes.is_empty());
        }
        let row = self.row_at(at);
        let ahead = (height + AHEAD).min(MOST_AHEAD);
        if self.rows.len() - row < ahead && self.window_end() < self.end {
            return Some(self.window_end());
        }
        let is_near_start = row < BEHIND && 0 < self.start;
        is_near_start.then(|| self.start.saturating_sub(PAGE))
    }

    /// The row in which the place is, or the nearest one.
    fn row_at(&self, at: u64) -> usize {
        self.rows
            .partition_point(|row| row.at <= at)
            .saturating_sub(1)
    }

    /// The place so many rows further on; within what is here.
    pub fn moved(&self, at: u64, by: isize) -> u64 {
        let row = self.row_at(at).saturating_add_signed(by);
        let last = self.rows.len().saturating_sub(1);
        self.rows.get(row.min(last)).map_or(0, |row| row.at)
    }

    /// The place from which on the last rows fill `height`, where the end is here.
    pub fn last(&self, height: usize) -> u64 {
        if self.window_end() < self.end {
            return self.end;
        }
        let row = self.rows.len().saturating_sub(height);
        self.rows.get(row).map_or(0, |row| row.at)
    }

    /// Rows from the place on.
    pub fn rows(&self, at: u64, height: usize) -> &[Row] {
        let first = self.row_at(at);
        let last = self.rows.len().min(first + height);
        &self.rows[first..last]
    }

    /// A row's text, not yet made harmless.
    pub fn text(&self, row: &Row) -> String {
        let from = (row.at - self.start) as usize;
        let bytes = &self.bytes[from..from + row.len];
        match self.form {
            Form::Binary => octets(row.at, bytes),
            _ => String::from_utf8_lossy(bytes).replace('\t', "    "),
        }
    }

    /// The fields of a table's row.
    pub fn fields(&self, row: &Row) -> Vec<String> {
        let from = (row.at - self.start) as usize;
        match self.form {
            Form::Table(sign) => fields(&self.bytes[from..from + row.len], sign),
            _ => Vec::new(),
        }
    }

    /// How many lines the object may have, from those that are here.
    pub fn lines_about(&self) -> Option<u64> {
        let lines = newlines(&self.bytes);
        let is_known = self.form != Form::Binary && lines > 0 && self.packing.is_none();
        let size = self.bytes.len() as u64;
        is_known.then(|| (u128::from(self.end) * u128::from(lines) / u128::from(size)) as u64)
    }

    /// Bytes that are here.
    pub fn held(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn cut(&mut self) {
        self.rows.clear();
        let longest = if self.form == Form::Binary {
            OCTETS
        } else {
            ROW
        };
        let mut at = 0;
        // A window that begins within a line does not begin one.
        let mut begins = self.start == 0 || self.line.is_some();
        let mut line = self.line.filter(|_| self.form != Form::Binary);
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let end = match self.form {
                Form::Binary => None,
                _ => memchr::memchr(b'\n', &rest[..rest.len().min(longest + 1)]),
            };
            let taken = end.unwrap_or_else(|| match self.form {
                Form::Binary => rest.len().min(longest),
                _ => boundary(rest, longest),
            });
            let shown = rest[..taken].strip_suffix(b"\r").filter(|_| end.is_some());
            self.rows.push(Row {
                at: self.start + at as u64,
                len: shown.map_or(taken, <[u8]>::len),
                line: line.filter(|_| begins),
            });
            at += taken + usize::from(end.is_some());
            begins = end.is_some();
            if begins {
                line = line.and_then(|line| line.checked_add(1));
            }
        }
    }

    fn measure(&mut self) {
        let Form::Table(_) = self.form else {
            return;
        };
        let rows: Vec<Row> = self.rows.iter().take(MEASURED).copied().collect();
        for row in &rows {
            for (column, field) in self.fields(row).iter().enumerate() {
                let width = text::width(&text::visible(field)).clamp(1, WIDEST);
                match self.widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => self.widths.push(width),
                }
            }
        }
        self.header = rows.first().map(|row| self.fields(row)).unwrap_or_default();
    }
}

/// What the beginning of an object is as a document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beginning {
    document: Option<Arc<Document>>,
    begun: Option<u64>,
}

impl Beginning {
    /// Parses: not to be done where one draws.
    pub fn of(object: &Object, page: &Page) -> Self {
        let text = String::from_utf8_lossy(&page.bytes);
        let held = page.bytes.len() as u64;
        let is_whole = page.range.end == object.size && page.trouble.is_none() && held < DOCUMENT;
        let document = match is_whole {
            true => Some(Document::read(&text)).filter(Document::is_json),
            false => Document::begun(&text),
        };
        Self {
            document: document.map(Arc::new),
            begun: (!is_whole).then_some(held),
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// At most so many bytes, but no half character.
fn boundary(bytes: &[u8], most: usize) -> usize {
    if bytes.len() <= most {
        return bytes.len();
    }
    let is_boundary = |at: &usize| bytes[*at] & 0xC0 != 0x80;
    (most.saturating_sub(3)..=most)
        .rev()
        .find(is_boundary)
        .unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operations::outputs::Kind;
    use crate::tui::harness::output;

    fn object(name: &str, size: usize) -> Object {
        output(Kind::Final, name, size as u64).object
    }

    fn page(bytes: &[u8], at: u64) -> Page {
        let start = (at as usize).min(bytes.len());
        let end = bytes.len().min(start + PAGE as usize);
        Page {
            range: start as u64..end as u64,
            bytes: bytes[start..end].to_vec(),
            packing: None,
            trouble: None,
        }
    }

    fn shown(preview: &Preview, at: u64, height: usize) -> Vec<(Option<u64>, String)> {
        let rows = preview.rows(at, height).iter();
        rows.map(|row| (row.line.map(NonZeroU64::get), preview.text(row)))
            .collect()
    }

    /// Reads on until enough is here.
    fn settle(preview: &mut Preview, bytes: &[u8], at: u64, hits: &[Hit]) {
        for _ in 0..20 {
            match preview.wanted(at, 40) {
                Some(next) => preview.put(page(bytes, next), hits),
                None => return,
            }
            assert!(preview.held() <= (PAGES + 1) * PAGE);
        }
        panic!("never satisfied at {at}");
    }

    fn numbered(lines: u64) -> Vec<u8> {
        let lines: Vec<String> = (1..=lines).map(|n| format!("line {n}")).collect();
        lines.join("\n").into_bytes()
    }

    #[test]
    fn reading_on_to_the_end_and_back_keeps_numbers_and_little_memory() {
        let bytes = numbered(100_000);
        let mut preview = Preview::new(object("a.txt", bytes.len()), page(&bytes, 0));
        let mut at = 0;
        while preview.moved(at, 40) != at {
            at = preview.moved(at, 40);
            settle(&mut preview, &bytes, at, &[]);
            let (line, text) = shown(&preview, at, 1).remove(0);
            assert_eq!(text, format!("line {}", line.expect("known")));
        }
        assert_eq!(
            shown(&preview, at, 9),
            [(Some(100_000), "line 100000".to_owned())]
        );
        while at > 0 {
            at = preview.moved(at, -15);
            settle(&mut preview, &bytes, at, &[]);
        }
        assert_eq!(shown(&preview, 0, 1)[0], (Some(1), "line 1".to_owned()));
    }

    #[test]
    fn a_jump_to_a_match_knows_its_line() {
        let bytes = numbered(100_000);
        let mut preview = Preview::new(object("a.txt", bytes.len()), page(&bytes, 0));
        let at = 700_000;
        let line = 1 + newlines(&bytes[..at]);
        let hit = Hit {
            line,
            at: at as u64,
            text: String::new(),
        };
        settle(&mut preview, &bytes, hit.at, std::slice::from_ref(&hit));
        let (number, text) = shown(&preview, hit.at, 1).remove(0);
        assert_eq!((number, text), (Some(line), format!("line {line}")));
        settle(&mut preview, &bytes, bytes.len() as u64, &[]);
        let last = preview.last(10);
        assert_eq!(
            shown(&preview, last, 10).last().expect("rows").1,
            "line 100000"
        );
    }

    #[test]
    fn a_line_without_end_is_many_rows() {
        let bytes = vec![b'x'; 1 << 20];
        let mut preview = Preview::new(object("a.json", bytes.len()), page(&bytes, 0));
        assert_eq!(preview.form, Form::Text);
        let mut at = 0;
        for _ in 0..100 {
            at = preview.moved(at, 20);
            settle(&mut preview, &bytes, at, &[]);
        }
        assert_eq!(at, 100 * 20 * ROW as u64);
        assert!(
            shown(&preview, at, 5)
                .iter()
                .all(|(line, _)| line.is_none())
        );
    }

    #[test]
    fn json_of_any_size_becomes_a_tree_of_its_beginning() {
        let rows: Vec<String> = (0..60_000)
            .map(|n| format!(r#"{{"n":{n},"s":"x"}}"#))
            .collect();
        let bytes = format!("[{}]", rows.join(",")).into_bytes();
        let object = object("FAILED_0.json", bytes.len());
        let mut preview = Preview::new(object.clone(), page(&bytes, 0));
        assert!(preview.form == Form::Json && preview.wants_document());
        let mut read = page(&bytes, 0);
        read.range = 0..DOCUMENT;
        read.bytes = bytes[..DOCUMENT as usize].to_vec();
        preview.put_document(Beginning::of(&object, &read));
        assert_eq!(preview.begun, Some(DOCUMENT));
        assert!(preview.document.is_some() && !preview.wants_document());
        preview.drop_document();
        assert!(preview.wants_document(), "it can be read again");
        read.bytes = b"[1,2,}".to_vec();
        preview.put_document(Beginning::of(&object, &read));
        assert!(preview.form == Form::Text && !preview.wants_document());
    }

    #[test]
    fn forms_follow_the_name_and_the_bytes() {
        let of = |name: &str, bytes: &[u8]| Preview::new(object(name, bytes.len()), page(bytes, 0));
        let pretty = of("a.json", br#"{"a":1}"#);
        assert_eq!(pretty.form, Form::Json);
        assert!(pretty.document.is_some());
        assert_eq!(of("a.json", b"{\"a\":").form, Form::Text);
        assert_eq!(of("a.jsonl", b"{}\n{}").form, Form::JsonLines);
        let binary = of("a.txt", b"PK\x03\x04\0\0");
        assert_eq!(binary.form, Form::Binary);
        assert!(shown(&binary, 0, 1)[0].1.ends_with("PK...."));
        let table = of("a.csv", b"id,name\n1,\"b, \"\"c\"\"\"\r\n2,d");
        assert_eq!((table.header.len(), &table.widths[..]), (2, &[2, 6][..]));
        let rows = table.rows(0, 9);
        assert_eq!(table.fields(&rows[1]), ["1", "b, \"c\""]);
        assert!(of("a.txt", b"").is_complete());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_order_of_pages_are_shown(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b','), Just(b'"'), any::<u8>()], 0..3000),
            name in "a\\.(txt|csv|json|jsonl)",
            starts in prop::collection::vec(0_u64..4000, 0..6),
        ) {
            let mut preview = Preview::new(object(&name, bytes.len()), page(&bytes, 0));
            for at in starts {
                preview.put(page(&bytes, at), &[]);
                for row in preview.rows(at, 50) {
                    let _ = (preview.text(row), preview.fields(row));
                }
                let _ = (preview.moved(at, 3), preview.last(5), preview.wanted(at, 9));
            }
        }
    }
}
