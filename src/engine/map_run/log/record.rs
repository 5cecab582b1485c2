//! One record, and its bytes.

use crate::engine::map_run::{ChildStatus, Closed, Limits, ResultFile};

/// Bytes of length and checksum.
pub(super) const HEADER: usize = 8;

#[derive(Debug, Clone, PartialEq)]
pub enum Record<'r> {
    /// The next child's input, JSON text, and how many items are in it.
    Item {
        items: u32,
        input: &'r [u8],
    },
    /// Every item has been read.
    ItemsRead,
    /// A Standard child started and waits for something.
    Start {
        child: u32,
        at: i64,
    },
    /// What a Standard child took in: JSON of a machine input. `previous` is where the child's
    /// record before this one is.
    Input {
        child: u32,
        at: i64,
        previous: u64,
        redrive: bool,
        input: &'r [u8],
    },
    End(End<'r>),
    Redrive {
        at: i64,
        round: u32,
    },
    Limits(Limits),
    /// The results of this round are in S3; all SUCCEEDED files so far.
    Written {
        succeeded: Vec<ResultFile>,
    },
    Closed(Closed),
    /// Everything before this record, which is at `at`, was on disk when it was written.
    Synced {
        at: u64,
    },
}

/// A child's end.
#[derive(Debug, Clone, PartialEq)]
pub struct End<'r> {
    pub child: u32,
    pub started: i64,
    pub stopped: i64,
    pub status: ChildStatus,
    /// Its history has no room for a redrive.
    pub is_history_full: bool,
    pub redrives: u16,
    pub previous: u64,
    /// JSON text, of a success.
    pub output: Option<&'r [u8]>,
    pub error: Option<&'r str>,
    pub cause: Option<&'r str>,
}

const ITEM: u8 = 1;
const ITEMS_READ: u8 = 2;
const START: u8 = 3;
const INPUT: u8 = 4;
const END: u8 = 5;
/// In an end's status: the history is full.
const FULL: u8 = 0x80;
const REDRIVE: u8 = 6;
const LIMITS: u8 = 7;
const WRITTEN: u8 = 8;
const CLOSED: u8 = 9;
const SYNCED: u8 = 255;

impl Record<'_> {
    /// Appends the record to `buffer`.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        frame(buffer, |buffer| self.encode_payload(buffer));
    }

    fn encode_payload(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Item { items, input } => {
                buffer.push(ITEM);
                buffer.extend_from_slice(&items.to_le_bytes());
                buffer.extend_from_slice(input);
            }
            Self::ItemsRead => buffer.push(ITEMS_READ),
            Self::Start { child, at } => {
                buffer.push(START);
                buffer.extend_from_slice(&child.to_le_bytes());
                buffer.extend_from_slice(&at.to_le_bytes());
            }
            Self::Input {
                child,
                at,
                previous,
                redrive,
                input,
            } => {
                buffer.push(INPUT);
                buffer.extend_from_slice(&child.to_le_bytes());
                buffer.extend_from_slice(&at.to_le_bytes());
                buffer.extend_from_slice(&previous.to_le_bytes());
                buffer.push(u8::from(*redrive));
                buffer.extend_from_slice(input);
            }
            Self::End(end) => {
                buffer.push(END);
                buffer.extend_from_slice(&end.child.to_le_bytes());
                buffer.extend_from_slice(&end.started.to_le_bytes());
                buffer.extend_from_slice(&end.stopped.to_le_bytes());
                buffer.push(end.status as u8 | if end.is_history_full { FULL } else { 0 });
                buffer.extend_from_slice(&end.redrives.to_le_bytes());
                buffer.extend_from_slice(&end.previous.to_le_bytes());
                for text in [
                    end.output,
                    end.error.map(str::as_bytes),
                    end.cause.map(str::as_bytes),
                ] {
                    // The length plus one; 0 says that there is none.
                    let length = text.map_or(0, |text| text.len() as u32 + 1);
                    buffer.extend_from_slice(&length.to_le_bytes());
                    buffer.extend_from_slice(text.unwrap_or_default());
                }
            }
            Self::Redrive { at, round } => {
                buffer.push(REDRIVE);
                buffer.extend_from_slice(&at.to_le_bytes());
                buffer.extend_from_slice(&round.to_le_bytes());
            }
            Self::Limits(limits) => encode_json(LIMITS, limits, buffer),
            Self::Written { succeeded } => encode_json(WRITTEN, succeeded, buffer),
            Self::Closed(closed) => encode_json(CLOSED, closed, buffer),
            Self::Synced { at } => {
                buffer.push(SYNCED);
                buffer.extend_from_slice(&at.to_le_bytes());
            }
        }
    }
}

/// Appends one record to `buffer`: length and checksum before what `payload` writes.
pub fn frame(buffer: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    payload(buffer);
    let length = (buffer.len() - start - HEADER) as u32;
    let checksum = crc32fast::hash(&buffer[start + HEADER..]);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
}

fn encode_json<T: serde::Serialize>(kind: u8, value: &T, buffer: &mut Vec<u8>) {
    buffer.push(kind);
    serde_json::to_writer(buffer, value).expect("writing to memory does not fail");
}

/// Takes fields off the front of a record.
struct Fields<'r>(&'r [u8]);

impl<'r> Fields<'r> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// Outer `None`: malformed.
    #[expect(
        clippy::option_option,
        reason = "malformed and absent are different answers"
    )]
    fn optional(&mut self) -> Option<Option<&'r [u8]>> {
        let Some(length) = self.u32()?.checked_sub(1) else {
            return Some(None);
        };
        let (field, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Some(field))
    }

    #[expect(
        clippy::option_option,
        reason = "malformed and absent are different answers"
    )]
    fn optional_text(&mut self) -> Option<Option<&'r str>> {
        match self.optional()? {
            Some(bytes) => std::str::from_utf8(bytes).ok().map(Some),
            None => Some(None),
        }
    }
}

/// `None` for anything that [`Record::encode`] does not write.
pub fn decode(payload: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = payload.split_first()?;
    let mut fields = Fields(rest);
    Some(match *kind {
        ITEM => Record::Item {
            items: fields.u32()?,
            input: fields.0,
        },
        ITEMS_READ => Record::ItemsRead,
        START => Record::Start {
            child: fields.u32()?,
            at: fields.i64()?,
        },
        INPUT => Record::Input {
            child: fields.u32()?,
            at: fields.i64()?,
            previous: fields.u64()?,
            redrive: fields.byte()? != 0,
            input: fields.0,
        },
        END => {
            let (child, started, stopped) = (fields.u32()?, fields.i64()?, fields.i64()?);
            let status = fields.byte()?;
            Record::End(End {
                child,
                started,
                stopped,
                status: ChildStatus::from_u8(status & !FULL)?,
                is_history_full: status & FULL != 0,
                redrives: fields.take().map(u16::from_le_bytes)?,
                previous: fields.u64()?,
                output: fields.optional()?,
                error: fields.optional_text()?,
                cause: fields.optional_text()?,
            })
        }
        REDRIVE => Record::Redrive {
            at: fields.i64()?,
            round: fields.u32()?,
        },
        LIMITS => Record::Limits(serde_json::from_slice(fields.0).ok()?),
        WRITTEN => Record::Written {
            succeeded: serde_json::from_slice(fields.0).ok()?,
        },
        CLOSED => Record::Closed(serde_json::from_slice(fields.0).ok()?),
        SYNCED => Record::Synced { at: fields.u64()? },
        _ => return None,
    })
}
