//! What a message says apart from the values in it.

/// Characters of a message that tell groups apart. Stack traces differ far behind.
const COMPARED: usize = 300;
/// Masking what is masked changes nothing after so many times, or never will.
const ROUNDS: usize = 8;

/// What a masked value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Quoted,
    Url,
    Ip,
    Id,
    Path,
    Number,
}

impl Kind {
    /// What stands in its place.
    fn mask(self) -> &'static str {
        match self {
            Self::Quoted => "<v>",
            Self::Url => "<url>",
            Self::Ip => "<ip>",
            Self::Id => "<id>",
            Self::Path => "<path>",
            Self::Number => "<n>",
        }
    }

    /// The same without its brackets.
    pub fn name(self) -> &'static str {
        self.mask().trim_matches(['<', '>'])
    }
}

/// `message` with what differs from item to item masked: `<v>` quoted text, `<url>`, `<ip>`,
/// `<id>`, `<path>`, `<n>`. An HTTP status stays: it is what tells failures apart. To mask it once
/// more changes nothing.
pub fn mask(message: &str) -> String {
    let mut masked = String::new();
    once(message, &mut masked);
    for _ in 0..ROUNDS {
        let mut again = String::with_capacity(masked.len());
        once(&masked, &mut again);
        if again == masked {
            break;
        }
        masked = again;
    }
    masked
}

/// One round of masking, appended to `masked`. Nearly always the only one that is needed.
pub fn once(message: &str, masked: &mut String) {
    let begun = masked.len();
    scan(message, |piece| match piece {
        Piece::Text(text) => masked.push_str(text),
        Piece::Value(kind, _) => masked.push_str(kind.mask()),
    });
    masked.truncate(begun + compared(&masked[begun..]).len());
}

/// The values that are masked in `message`, with what they are.
pub fn values(message: &str) -> Vec<(Kind, &str)> {
    let mut found = Vec::new();
    scan(message, |piece| {
        if let Piece::Value(kind, value) = piece {
            found.push((kind, value));
        }
    });
    found
}

/// The part of a text that is looked at.
fn compared(text: &str) -> &str {
    if text.len() <= COMPARED {
        return text;
    }
    let end = text.char_indices().nth(COMPARED);
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

enum Piece<'t> {
    Text(&'t str),
    Value(Kind, &'t str),
}

/// What a byte may be.
const SEPARATOR: u8 = 1;
const DIGIT: u8 = 2;
const COLON: u8 = 4;

/// Bytes that end a word, digits, colons. Letters beyond ASCII belong to words.
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let signs = b" \t\n\r\x0b\x0c\"'`,;()[]{}<>=|";
    let mut at = 0;
    while at < signs.len() {
        table[signs[at] as usize] = SEPARATOR;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = DIGIT;
        digit += 1;
    }
    table[b':' as usize] = COLON;
    table
};

fn class(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

/// Where the word that begins here ends, and of what classes its bytes are.
fn word(bytes: &[u8], from: usize) -> (usize, u8) {
    let (mut end, mut classes) = (from, 0);
    while end < bytes.len() && class(bytes[end]) != SEPARATOR {
        classes |= class(bytes[end]);
        end += 1;
    }
    (end, classes)
}

fn scan<'t>(message: &'t str, mut tell: impl FnMut(Piece<'t>)) {
    let text = compared(message);
    let bytes = text.as_bytes();
    let mut previous = "";
    // What has been told ends here.
    let mut told = 0;
    let mut at = 0;
    while at < bytes.len() {
        let first = bytes[at];
        // Of the value found here: what it is, its bytes, and how many of them are looked at no more.
        let (kind, length, whole) = if class(first) == SEPARATOR {
            let is_quote = matches!(first, b'"' | b'\'' | b'`');
            let after_word = told < at && text[..at].ends_with(char::is_alphanumeric);
            let found = (is_quote && !after_word).then(|| quoted(&text[at..]));
            let Some(length) = found.flatten() else {
                at += 1;
                continue;
            };
            (Kind::Quoted, length, length)
        } else {
            let (end, classes) = word(bytes, at);
            let may_be_url = classes & COLON != 0 && first.is_ascii_alphanumeric();
            if let Some(length) = may_be_url.then(|| url(&text[at..])).flatten() {
                let length = length - trailing_stop(&text[at..at + length]);
                (Kind::Url, length, length)
            } else {
                let word = &text[at..end];
                let (before, now) = (previous, word);
                previous = now;
                if classes & DIGIT == 0 && !matches!(first, b'/' | b'.' | b'~') {
                    at = end;
                    continue;
                }
                let core = &word[..word.len() - trailing_stop(word)];
                match kind_of(core) {
                    Some(kind) => (kind, core.len(), word.len()),
                    None if is_http_status(core, before) => {
                        at = end;
                        continue;
                    }
                    None => {
                        numbers(text, at, at + core.len(), &mut told, &mut tell);
                        at = end;
                        continue;
                    }
                }
            }
        };
        if told < at {
            tell(Piece::Text(&text[told..at]));
        }
        tell(Piece::Value(kind, &text[at..at + length]));
        if matches!(kind, Kind::Quoted | Kind::Url) {
            // A word like any other, so that what is masked reads as what was not.
            previous = "v";
        }
        told = at + length;
        at += whole;
    }
    if told < text.len() {
        tell(Piece::Text(&text[told..]));
    }
}

/// Tells of the runs of digits, decimals included, between two places of a text.
fn numbers<'t>(
    text: &'t str,
    from: usize,
    to: usize,
    told: &mut usize,
    tell: &mut impl FnMut(Piece<'t>),
) {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < to {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut end = at + 1;
        let is_digit = |at: usize| at < to && bytes[at].is_ascii_digit();
        while is_digit(end) || (end < to && bytes[end] == b'.' && is_digit(end + 1)) {
            end += 1;
        }
        if *told < at {
            tell(Piece::Text(&text[*told..at]));
        }
        tell(Piece::Value(Kind::Number, &text[at..end]));
        *told = end;
        at = end;
    }
}

/// Bytes of a quotation that begins here; `None` for an apostrophe, a quote left open, and for
/// double quotes around a sentence or a JSON member's name, which say what happened.
fn quoted(text: &str) -> Option<usize> {
    let quote = *text.as_bytes().first()?;
    // A quotation mark inside a word is an apostrophe: `'Saint John's, Antigua'` is one quotation.
    let closes = |at: usize| !text[at + 1..].starts_with(char::is_alphanumeric);
    let mut ends = memchr::memchr_iter(quote, &text.as_bytes()[1..]).map(|at| at + 1);
    let end = ends.find(|at| closes(*at))?;
    let (inside, after) = (&text[1..end], &text[end + 1..]);
    let is_value =
        quote != b'"' || !(inside.contains(char::is_whitespace) || after.starts_with(':'));
    is_value.then_some(end + 1)
}

/// Bytes of a URL that begins here.
fn url(text: &str) -> Option<usize> {
    const SCHEME: usize = 10;
    let bytes = text.as_bytes();
    let mut beginning = bytes.iter().take(SCHEME + 1);
    let scheme = beginning.position(|byte| !byte.is_ascii_alphanumeric())?;
    if !text[scheme..].starts_with("://") {
        return None;
    }
    let ends = |c: char| c.is_whitespace() || "\"'`<>)]}".contains(c);
    Some(text.find(ends).unwrap_or(text.len()))
}

/// Bytes of the punctuation at the end of a word, which belongs to the sentence.
fn trailing_stop(word: &str) -> usize {
    word.len() - word.trim_end_matches(['.', ',', ';', ':', '!', '?']).len()
}

/// What a word is that differs as a whole.
fn kind_of(word: &str) -> Option<Kind> {
    match word {
        _ if is_id(word) => Some(Kind::Id),
        _ if is_ip(word) => Some(Kind::Ip),
        _ if is_path(word) => Some(Kind::Path),
        _ => None,
    }
}

/// A UUID, or eight and more hexadecimal digits of which some are letters and some are not.
fn is_id(word: &str) -> bool {
    let (mut digits, mut letters) = (0, 0);
    for byte in word.bytes() {
        match byte {
            b'-' => {}
            b'0'..=b'9' => digits += 1,
            _ if byte.is_ascii_hexdigit() => letters += 1,
            _ => return false,
        }
    }
    let is_mixed = 8 <= digits + letters && 0 < digits && 0 < letters;
    is_mixed || is_uuid(word)
}

fn is_uuid(word: &str) -> bool {
    let bytes = word.as_bytes();
    let dashes = [8, 13, 18, 23];
    bytes.len() == 36 && dashes.iter().all(|at| bytes[*at] == b'-') && !bytes.ends_with(b"-")
}

/// An IPv4 or IPv6 address, with or without a port.
fn is_ip(word: &str) -> bool {
    let mut bytes = word.bytes();
    let may_be = bytes.all(|it| it.is_ascii_hexdigit() || b".:[]%".contains(&it));
    if !may_be || !word.contains(['.', ':']) {
        return false;
    }
    let bare = word.parse::<std::net::IpAddr>().is_ok();
    bare || word.parse::<std::net::SocketAddr>().is_ok()
}

fn is_path(word: &str) -> bool {
    let absolute = word.starts_with('/') && 1 < word.len();
    absolute || word.starts_with("./") || word.starts_with("~/")
}

fn is_http_status(word: &str, previous: &str) -> bool {
    const ANNOUNCED: [&str; 6] = ["status", "code", "answered", "http", "http/1.1", "http/2"];
    let code = match word.len() {
        3 => word.parse().unwrap_or(0),
        _ => 0,
    };
    match previous {
        // A message may begin with one that tells of trouble: `404 Not Found: …`.
        "" => (400..600).contains(&code),
        _ => {
            let is_announced = ANNOUNCED.iter().any(|it| it.eq_ignore_ascii_case(previous));
            is_announced && (100..600).contains(&code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_masked_and_words_are_not() {
        for (message, masked) in [
            ("answered 503 after 12.5s", "answered 503 after <n>s"),
            (
                "answered 404: {\"error\":\"no place named 'Oz' is known\",\"id\":\"a-7\"}",
                "answered 404: {\"error\":\"no place named <v> is known\",\"id\":<v>}",
            ),
            (
                "status 503 from http://a:1/l?q=Oz: busy",
                "status 503 from <url>: busy",
            ),
            (
                "didn't find 'Sao Tomé', it isn't",
                "didn't find <v>, it isn't",
            ),
            ("no host 10.0.0.1:8080, ::1", "no host <ip>, <ip>"),
            ("id 6f0c2b9e-1111-4222-8333-444455556666.", "id <id>."),
            ("id 00000000-1111-4222-8333-444455556666", "id <id>"),
            ("137 rows, 200 of them bad", "<n> rows, <n> of them bad"),
            ("trace=deadbeef01 beef", "trace=<id> beef"),
            ("open /tmp/a.b: denied", "open <path>: denied"),
            ("row line-3118, 14 %", "row line-<n>, <n> %"),
            ("left \"open", "left \"open"),
            (
                "404 Not Found: no place named 'Saint John's, Antigua' is known",
                "404 Not Found: no place named <v> is known",
            ),
        ] {
            assert_eq!(mask(message), masked, "{message}");
        }
    }

    #[test]
    fn what_is_masked_can_be_told() {
        let message = "no answer from 10.2.7.14 in 30000 ms for 'Oz' (/a/b, http://x/1)";
        let told: Vec<String> = values(message)
            .into_iter()
            .map(|(kind, value)| format!("{}={value}", kind.name()))
            .collect();
        assert_eq!(
            told,
            [
                "ip=10.2.7.14",
                "n=30000",
                "v='Oz'",
                "path=/a/b",
                "url=http://x/1"
            ]
        );
    }

    proptest! {
        #[test]
        fn numbers_never_tell_groups_apart(a in 10u64.., b in 10u64.., text in "[a-z ]{0,12}") {
            let with = |n: u64| mask(&format!("{text} took {n} ms"));
            prop_assert_eq!(with(a), with(b));
        }

        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            prop_assert!(mask(&text).chars().count() <= COMPARED);
        }

        #[test]
        fn what_is_masked_stays_as_it_is(text in prop_oneof![
            any::<String>(),
            "([0-9]{1,3}|::|[.]/|/|'|\"|`| |<|>|x|http://|ab'|status |[a-f0-9]{9}|,){0,14}",
        ]) {
            let masked = mask(&text);
            prop_assert_eq!(mask(&masked), masked);
        }
    }
}
