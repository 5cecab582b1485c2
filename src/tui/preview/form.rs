//! What the bytes of an object are, and how they are told as text.

use crate::model::Object;
use crate::operations::outputs::Page;

/// Bytes of a row of what is no text.
pub(super) const OCTETS: usize = 16;

/// How bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    /// One document, to fold.
    Json,
    JsonLines,
    /// Fields between commas or tabs.
    Table(u8),
    /// No text: octets.
    Binary,
}

impl Form {
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::JsonLines => "json lines",
            Self::Table(b'\t') => "tsv",
            Self::Table(_) => "csv",
            Self::Binary => "binary",
        }
    }
}

/// What an object is, by its name and its first bytes.
pub(super) fn of(object: &Object, page: &Page) -> Form {
    if is_binary(&page.bytes) {
        return Form::Binary;
    }
    let name = object.address.file_name().to_ascii_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_whole = page.range == (0..object.size) && page.packing.is_none();
    let is_document = || serde_json::from_slice::<serde_json::Value>(&page.bytes).is_ok();
    match extension {
        "csv" => Form::Table(b','),
        "tsv" => Form::Table(b'\t'),
        "jsonl" | "ndjson" => Form::JsonLines,
        "json" if is_whole && is_document() => Form::Json,
        "json" if !is_whole && begins_document(&page.bytes) => Form::Json,
        _ => Form::Text,
    }
}

fn begins_document(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

/// Text has no zeros, and little that is no UTF-8.
fn is_binary(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(8 << 10)];
    let odd: usize = start.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    start.contains(&0) || start.len() < odd * 10
}

/// `00000010  48 65 6c 6c 6f …  Hello…`
pub(super) fn octets(at: u64, bytes: &[u8]) -> String {
    let mut line = format!("{at:08x} ");
    for index in 0..OCTETS {
        let gap = if index == OCTETS / 2 { "  " } else { " " };
        match bytes.get(index) {
            Some(octet) => line += &format!("{gap}{octet:02x}"),
            None => line += &format!("{gap}  "),
        }
    }
    let shown = |octet: &u8| match octet {
        b' '..=b'~' => char::from(*octet),
        _ => '.',
    };
    line + "  " + &bytes.iter().map(shown).collect::<String>()
}

/// Fields of one line; a quote that is never closed holds the rest.
pub(super) fn fields(line: &[u8], sign: u8) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let mut is_quoted = false;
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if is_quoted && bytes.peek() == Some(&b'"') => {
                field.push(b'"');
                bytes.next();
            }
            b'"' if is_quoted => is_quoted = false,
            b'"' if field.is_empty() => is_quoted = true,
            _ if byte == sign && !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(byte),
        }
    }
    fields.push(field);
    let texts = fields
        .iter()
        .map(|field| String::from_utf8_lossy(field).into_owned());
    texts.collect()
}
