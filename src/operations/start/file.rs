//! One look at a local file of lines: hash, count, and what would be refused later.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;

use flate2::write::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::model::figures;
use crate::operations::{Check, Error, hex};

/// Bytes of one line, escaped as a JSON string: the child's input, which it becomes a part of, has
/// 256 KiB.
pub const LINE_LIMIT: usize = 200 << 10;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// What was seen.
#[derive(Debug)]
pub struct Inspection {
    /// Bytes, packed where the file is.
    pub size: u64,
    /// Of the bytes as they are, hexadecimal.
    pub sha256: String,
    pub lines: u64,
    text: Lines,
}

/// Reads the file at `path` from end to end; blocks.
///
/// # Errors
/// `File` when there is nothing to read, or the reading fails. Bad lines are no error here.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let fail = |error: io::Error| Error::file(path, problem(&error));
    // Before opening: opening a named pipe waits for a writer.
    let kind = fs::metadata(path).map_err(fail)?.file_type();
    if kind.is_dir() {
        return Err(Error::file(path, "is a folder: give a file of lines"));
    }
    if !kind.is_file() {
        return Err(Error::file(
            path,
            "is not a regular file: write its lines to one first",
        ));
    }
    let mut file = File::open(path).map_err(fail)?;
    let packed = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut sink = match packed {
        true => Sink::Packed(Box::new(MultiGzDecoder::new(Lines::default()))),
        false => Sink::Plain(Lines::default()),
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(fail(error)),
        };
        hash.update(&buffer[..read]);
        size += read as u64;
        sink.write(&buffer[..read])
            .map_err(|error| Error::file(path, unpacking(&error)))?;
    }
    let mut text = match sink {
        Sink::Plain(lines) => lines,
        // No bytes at all are an empty file, not a truncated one.
        Sink::Packed(_) if size == 0 => Lines::default(),
        Sink::Packed(decoder) => decoder
            .finish()
            .map_err(|error| Error::file(path, unpacking(&error)))?,
    };
    text.end();
    Ok(Inspection {
        size,
        sha256: hex(&hash.finalize()),
        lines: text.count,
        text,
    })
}

fn problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by you".to_owned(),
        _ => error.to_string(),
    }
}

fn unpacking(error: &io::Error) -> String {
    format!("cannot be unpacked as gzip: {error}")
}

enum Sink {
    Plain(Lines),
    Packed(Box<MultiGzDecoder<Lines>>),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(lines) => lines.write_all(bytes),
            Self::Packed(decoder) => decoder.write_all(bytes),
        }
    }
}

/// Counts lines as they are written to it. Keeps the beginning of the line at hand only.
#[derive(Debug, Default)]
struct Lines {
    count: u64,
    /// The line that goes on in the next write, at most one byte more than the limit of it.
    partial: Vec<u8>,
    not_utf8: Trouble,
    too_long: Trouble,
    blank: Trouble,
    carriage_returns: u64,
    ends_open: bool,
}

/// Lines with the same trouble.
#[derive(Debug, Default, Clone, Copy)]
struct Trouble {
    count: u64,
    /// Number of the first one, from 1.
    first: u64,
}

impl Trouble {
    fn at(&mut self, line: u64) {
        self.count += 1;
        if self.first == 0 {
            self.first = line;
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            match self.partial.is_empty() {
                true => self.line(&rest[..end]),
                false => {
                    self.keep(&rest[..end]);
                    let line = std::mem::take(&mut self.partial);
                    self.line(&line);
                    self.partial = line;
                    self.partial.clear();
                }
            }
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn keep(&mut self, bytes: &[u8]) {
        let room = (LINE_LIMIT + 1).saturating_sub(self.partial.len());
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// A last line without a newline is a line too.
    fn end(&mut self) {
        if !self.partial.is_empty() {
            self.ends_open = true;
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
        }
    }

    fn line(&mut self, line: &[u8]) {
        self.count += 1;
        let line = match line.strip_suffix(b"\r") {
            Some(line) => {
                self.carriage_returns += 1;
                line
            }
            None => line,
        };
        // Cut at the limit, so its end says nothing about its encoding.
        if LINE_LIMIT < line.len() {
            return self.too_long.at(self.count);
        }
        match std::str::from_utf8(line) {
            Err(_) => self.not_utf8.at(self.count),
            Ok("") => self.blank.at(self.count),
            Ok(text) if LINE_LIMIT < escaped_len(text) => self.too_long.at(self.count),
            Ok(_) => {}
        }
    }
}

/// Bytes that `text` takes within a JSON string.
fn escaped_len(text: &str) -> usize {
    // No character takes more than six, so the sum is only needed for long lines.
    if text.len() * 6 <= LINE_LIMIT {
        return text.len();
    }
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0x00..0x20 => 6,
            _ => 1,
        })
        .sum()
}

impl Inspection {
    /// What is good, notable or bad about the lines.
    pub fn checks(&self) -> Vec<Check> {
        let text = &self.text;
        if self.lines == 0 {
            return vec![Check::bad("the file is empty: there is no line to work on")];
        }
        let mut checks = Vec::new();
        if 0 < text.not_utf8.count {
            checks.push(Check::bad(format!(
                "{}: convert the file to UTF-8 first",
                told(text.not_utf8, "is not UTF-8", "are not UTF-8")
            )));
        }
        if 0 < text.too_long.count {
            checks.push(Check::bad(format!(
                "{} than {} KiB, which is more than one item may hold",
                told(text.too_long, "is longer", "are longer"),
                LINE_LIMIT >> 10
            )));
        }
        if checks.is_empty() {
            let lines = match self.lines {
                1 => "1 line".to_owned(),
                lines => format!("{lines} lines"),
            };
            checks.push(Check::good(format!(
                "{lines}, all UTF-8, none over {} KiB",
                LINE_LIMIT >> 10
            )));
        }
        if 0 < text.blank.count {
            let told = told(text.blank, "is blank", "are blank");
            checks.push(Check::notice(format!("{told}, and counted as lines")));
        }
        if 0 < text.carriage_returns {
            checks.push(Check::notice(
                "lines end with CR LF: the CR is not part of the line",
            ));
        }
        if text.ends_open {
            checks.push(Check::good("the last line has no newline, and counts"));
        }
        checks
    }
}

fn told(trouble: Trouble, one: &str, many: &str) -> String {
    match trouble.count {
        1 => format!("line {} {one}", figures::count(trouble.first)),
        count => format!(
            "{} lines {many}, first line {}",
            figures::count(count),
            figures::count(trouble.first)
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::io::Write as _;

    use super::super::super::Verdict;
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        (folder, path)
    }

    fn inspected(name: &str, bytes: &[u8]) -> Inspection {
        let (_folder, path) = file(name, bytes);
        inspect(&path).expect("readable")
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn bad(inspection: &Inspection) -> Vec<String> {
        let checks = inspection.checks();
        let bad = checks
            .into_iter()
            .filter(|check| check.verdict == Verdict::Bad);
        bad.map(|check| check.text).collect()
    }

    #[test]
    fn lines_are_counted_whatever_their_ends() {
        for (bytes, lines) in [
            (&b"a\nb\n"[..], 2),
            (b"a\nb", 2),
            (b"a\r\nb\r\n", 2),
            (b"\n\n", 2),
            (b"\xEF\xBB\xBFa", 1),
        ] {
            let seen = inspected("a.txt", bytes);
            assert_eq!((seen.lines, bad(&seen)), (lines, vec![]), "{bytes:?}");
        }
    }

    #[test]
    fn packed_members_are_counted_by_what_is_in_them() {
        let two = [packed(b"a\nb\n"), packed(b"c\n")].concat();
        let seen = inspected("a.txt.gz", &two);
        assert_eq!((seen.lines, seen.size), (3, two.len() as u64));
        let (_folder, path) = file("b.gz", &two[..two.len() - 9]);
        assert!(
            inspect(&path)
                .expect_err("cut")
                .to_string()
                .contains("gzip")
        );
    }

    #[test]
    fn bad_lines_are_named_by_number() {
        let seen = inspected("a.txt", b"ok\n\xff\xfe\nok\n\xff\n");
        assert_eq!(bad(&seen).len(), 1);
        assert!(bad(&seen)[0].contains("2 lines are not UTF-8, first line 2"));
        let long = [b"x\n".to_vec(), vec![b'y'; 300 << 10], b"\nz\n".to_vec()].concat();
        assert!(bad(&inspected("b.txt", &long))[0].starts_with("line 2 is longer than 200 KiB"));
        let escaped = vec![b'"'; LINE_LIMIT / 2 + 1];
        assert_eq!(bad(&inspected("c.txt", &escaped)).len(), 1);
        assert!(bad(&inspected("d.txt", b""))[0].contains("empty"));
        assert!(bad(&inspected("e.gz", b""))[0].contains("empty"));
    }

    #[test]
    fn what_is_no_file_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = |path: &Path| inspect(path).expect_err("no file").to_string();
        assert!(error(folder.path()).contains("is a folder"));
        assert!(error(&folder.path().join("none")).contains("no such file"));
    }

    proptest! {
        #[test]
        fn counting_does_not_depend_on_the_cuts(
            text in "(a|é|\r|\n|\"){0,60}",
            cut in 1usize..7,
        ) {
            let mut lines = Lines::default();
            for chunk in text.as_bytes().chunks(cut) {
                lines.write_all(chunk).expect("memory");
            }
            lines.end();
            let expected = text.split_terminator('\n').count() as u64;
            prop_assert_eq!(lines.count, expected);
            prop_assert_eq!(lines.not_utf8.count, 0);
        }
    }
}
