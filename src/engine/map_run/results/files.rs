//! Result files on their way to the object storage.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Destination, Error, ResultFile};
use crate::engine::objects::{Objects, Writing};

/// Bytes that go to the storage at once.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait for the storage.
const WAITING: usize = 4;

/// The files of one category, each a JSON array or JSON Lines.
pub(super) struct Files<'f> {
    objects: &'f Objects,
    destination: &'f Destination,
    folder: &'f str,
    category: &'static str,
    lines: bool,
    /// A file is closed and the next one opened when it has reached this many bytes.
    most: u64,
    open: Option<Open>,
    done: Vec<ResultFile>,
}

struct Open {
    key: String,
    output: Output,
    bytes: u64,
}

impl<'f> Files<'f> {
    pub(super) fn new(
        objects: &'f Objects,
        destination: &'f Destination,
        folder: &'f str,
        category: &'static str,
        lines: bool,
        most: u64,
    ) -> Self {
        Self {
            objects,
            destination,
            folder,
            category,
            lines,
            most,
            open: None,
            done: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, record: &[u8]) -> Result<(), Error> {
        let (lines, most) = (self.lines, self.most);
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open_next()?,
        };
        if !lines {
            let before = if open.bytes == 0 { b"[" } else { b"," };
            open.output.write(before)?;
        }
        open.output.write(record)?;
        if lines {
            open.output.write(b"\n")?;
        }
        open.bytes += record.len() as u64 + 1;
        if open.bytes >= most {
            self.close()
        } else {
            Ok(())
        }
    }

    fn open_next(&mut self) -> Result<&mut Open, Error> {
        let extension = if self.lines { "jsonl" } else { "json" };
        let key = format!(
            "{}/{}_{}.{extension}",
            self.folder,
            self.category,
            self.done.len()
        );
        let writing = self.objects.write(&self.destination.bucket, &key)?;
        Ok(self.open.insert(Open {
            key,
            output: Output::new(writing)?,
            bytes: 0,
        }))
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        if !self.lines {
            let end: &[u8] = if open.bytes == 0 { b"[]" } else { b"]" };
            open.output.write(end)?;
        }
        let info = open.output.finish()?.commit(true)?;
        self.done.push(ResultFile {
            key: open.key,
            size: info.size,
        });
        Ok(())
    }

    /// `even_empty`: a redrive writes a file of two bytes where there is nothing to tell.
    pub(super) fn finish(mut self, even_empty: bool) -> Result<Vec<ResultFile>, Error> {
        if even_empty && self.open.is_none() && self.done.is_empty() {
            self.open_next()?;
        }
        self.close()?;
        Ok(self.done)
    }
}

/// A file that another thread hashes and writes while the next records are made: the two take
/// about as long.
struct Output {
    chunk: Vec<u8>,
    /// `None` once everything was handed over.
    chunks: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<io::Result<Writing>>>,
}

impl Output {
    fn new(mut writing: Writing) -> io::Result<Self> {
        let (chunks, received) = sync_channel::<Vec<u8>>(WAITING);
        let write = move || {
            for chunk in received {
                writing.write_all(&chunk)?;
            }
            Ok(writing)
        };
        let thread = std::thread::Builder::new().name("result-writer".to_owned());
        Ok(Self {
            chunk: Vec::with_capacity(CHUNK),
            chunks: Some(chunks),
            writer: Some(thread.spawn(write)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() < CHUNK {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK + CHUNK / 4));
        match &self.chunks {
            Some(chunks) if chunks.send(full).is_ok() => Ok(()),
            // The thread has ended: it says why.
            _ => self.join().map(drop),
        }
    }

    fn finish(mut self) -> io::Result<Writing> {
        let rest = std::mem::take(&mut self.chunk);
        if let Some(chunks) = &self.chunks {
            // Where this fails, joining says why.
            let _ = chunks.send(rest);
        }
        self.join()
    }

    fn join(&mut self) -> io::Result<Writing> {
        self.chunks = None;
        let ended = self.writer.take().map(JoinHandle::join);
        match ended {
            Some(Ok(result)) => result,
            _ => Err(io::Error::other(
                "the writer of result files ended unexpectedly",
            )),
        }
    }
}
