//! A disk for tests that loses its power or has no room left.
//!
//! Everything is written to real files, so that whoever reads needs not know. Beside them this
//! keeps what a power cut would leave: of every file the bytes that were synced and the writes
//! since, of every folder the names that were synced and the changes since. What was synced stays;
//! of the rest each write may be there, be lost, or be torn at any byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::{Disk, folder_of};

#[derive(Debug)]
pub struct Faults {
    root: PathBuf,
    state: Mutex<State>,
    is_cut: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// Operations so far that make something durable.
    done: u64,
    /// The power is cut before the operation with this number.
    cut_at: Option<u64>,
    is_cut: bool,
    is_spared: bool,
    /// Bytes that may still be written; `None`: no limit.
    room: Option<u64>,
    /// What each file's content is, by number: a name may come to mean another content.
    contents: Vec<Content>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    durable_folders: BTreeSet<PathBuf>,
    /// Changes of names that no sync has covered yet, in order.
    names: Vec<Name>,
}

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Debug, Clone)]
enum Name {
    File(PathBuf, usize),
    Folder(PathBuf),
    Gone(PathBuf),
    /// From, to.
    Renamed(PathBuf, PathBuf, usize),
}

impl Name {
    fn folder(&self) -> &Path {
        match self {
            Self::File(path, _) | Self::Folder(path) | Self::Gone(path) => folder_of(path),
            Self::Renamed(_, to, _) => folder_of(to),
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(size) => bytes.resize(*size as usize, 0),
            Self::Write { at, bytes: written } => {
                let (from, to) = (*at as usize, *at as usize + written.len());
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(written);
            }
        }
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is cut")
}

impl Faults {
    /// A disk on which everything now below `root` is durable.
    pub fn new(root: &Path) -> Arc<Self> {
        let mut state = State::default();
        take_in(root, &mut state);
        Arc::new(Self {
            root: root.to_owned(),
            state: Mutex::new(state),
            is_cut: watch::Sender::new(false),
        })
    }

    pub fn disk(self: &Arc<Self>) -> Disk {
        Disk {
            faults: Some(Arc::clone(self)),
        }
    }

    /// Cuts the power before the operation with this number, from 1.
    pub fn cut_at(&self, number: u64) {
        self.state().cut_at = Some(number);
    }

    /// Resolves when the power is cut.
    pub async fn cut(&self) {
        let mut is_cut = self.is_cut.subscribe();
        // The sender is our own.
        let _ = is_cut.wait_for(|is_cut| *is_cut).await;
    }

    pub fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// Spares a test's own look at things the cut; whether there is power.
    pub fn spare(&self, spared: bool) -> bool {
        let mut state = self.state();
        state.is_spared = spared;
        !state.is_cut
    }

    /// Operations so far that make something durable.
    pub fn done(&self) -> u64 {
        self.state().done
    }

    /// Lets only so many more bytes be written; `None` makes room again.
    pub fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation that makes something durable; from the cut on none is done.
    fn durable(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if !state.is_cut && !state.is_spared {
            state.done += 1;
            state.is_cut = state.cut_at.is_some_and(|at| state.done >= at);
            if state.is_cut {
                self.is_cut.send_replace(true);
            }
        }
        if state.is_cut {
            return Err(no_power());
        }
        Ok(state)
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_cut {
            return Err(no_power());
        }
        Ok(state)
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        if !state.live.contains_key(path) && !path.exists() {
            let number = state.contents.len();
            state.contents.push(Content::default());
            state.live.insert(path.to_owned(), number);
            state.names.push(Name::File(path.to_owned(), number));
        }
        Ok(())
    }

    pub(super) fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.powered()?;
        let new: Vec<&Path> = path
            .ancestors()
            .take_while(|folder| *folder != self.root && !folder.exists())
            .collect();
        for folder in new.into_iter().rev() {
            state.names.push(Name::Folder(folder.to_owned()));
        }
        Ok(())
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.durable()?;
        state.live.remove(path);
        state.names.push(Name::Gone(path.to_owned()));
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.durable()?;
        let number = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), number);
        let renamed = Name::Renamed(from.to_owned(), to.to_owned(), number);
        state.names.push(renamed);
        Ok(())
    }

    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.durable()?;
        let names = std::mem::take(&mut state.names);
        for name in names {
            if name.folder() == path {
                state.settle(&name);
            } else {
                state.names.push(name);
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.powered()?;
        if let Some(room) = state.room {
            let left = room.checked_sub(bytes.len() as u64);
            state.room = Some(left.unwrap_or(0));
            if left.is_none() {
                return Err(io::Error::from_raw_os_error(NO_SPACE));
            }
        }
        let bytes = bytes.to_vec();
        state.change(path, Change::Write { at, bytes });
        Ok(())
    }

    pub(super) fn set_len(&self, path: &Path, size: u64) -> io::Result<()> {
        self.powered()?.change(path, Change::SetLen(size));
        Ok(())
    }

    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        let mut state = self.durable()?;
        let Some(number) = state.live.get(path).copied() else {
            return Ok(());
        };
        let content = &mut state.contents[number];
        for change in std::mem::take(&mut content.since) {
            change.apply(&mut content.synced);
        }
        Ok(())
    }

    /// Writes what the cut leaves into an empty folder; `seed` decides about everything unsynced.
    pub fn leave(&self, target: &Path, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = self.state();
        // A journal keeps the order of changes in a folder, so that any first ones may be there.
        let mut kept: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for name in &state.names {
            *kept.entry(name.folder().to_owned()).or_default() += 1;
        }
        for count in kept.values_mut() {
            *count = random.random_range(0..=*count);
        }
        for name in std::mem::take(&mut state.names) {
            let left = kept.get_mut(name.folder());
            if let Some(left @ 1..) = left {
                *left -= 1;
                state.settle(&name);
            }
        }
        let moved = |path: &Path| target.join(path.strip_prefix(&self.root).expect("below it"));
        for folder in &state.durable_folders {
            fs::create_dir_all(moved(folder)).expect("a folder");
        }
        for (path, number) in &state.durable {
            let content = &state.contents[*number];
            let mut bytes = content.synced.clone();
            for change in &content.since {
                let torn = match (random.random_range(0..4), change) {
                    (0, _) => continue,
                    (1, Change::Write { at, bytes }) => Change::Write {
                        at: *at,
                        bytes: bytes[..random.random_range(0..=bytes.len())].to_vec(),
                    },
                    _ => change.clone(),
                };
                torn.apply(&mut bytes);
            }
            let path = moved(path);
            // A file whose folder is lost is lost.
            if folder_of(&path).is_dir() {
                fs::write(path, bytes).expect("a file");
            }
        }
    }
}

/// `ENOSPC`.
const NO_SPACE: i32 = 28;

impl State {
    fn change(&mut self, path: &Path, change: Change) {
        if let Some(number) = self.live.get(path) {
            self.contents[*number].since.push(change);
        }
    }

    fn settle(&mut self, name: &Name) {
        match name {
            Name::File(path, number) => {
                self.durable.insert(path.clone(), *number);
            }
            Name::Folder(path) => {
                self.durable_folders.insert(path.clone());
            }
            Name::Gone(path) => {
                self.durable.remove(path);
            }
            Name::Renamed(from, to, number) => {
                self.durable.remove(from);
                self.durable.insert(to.clone(), *number);
            }
        }
    }
}

fn take_in(folder: &Path, state: &mut State) {
    state.durable_folders.insert(folder.to_owned());
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            take_in(&path, state);
            continue;
        }
        let number = state.contents.len();
        state.contents.push(Content {
            synced: fs::read(&path).expect("a file"),
            since: Vec::new(),
        });
        state.live.insert(path.clone(), number);
        state.durable.insert(path, number);
    }
}
