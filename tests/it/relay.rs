//! A way between clients and an engine that counts what passes, and holds or spoils it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone)]
pub struct Relay {
    pub url: String,
    state: Arc<Passed>,
}

#[derive(Default)]
struct Passed {
    inner: Mutex<Passing>,
    changed: Condvar,
}

#[derive(Default)]
pub struct Passing {
    /// Bytes that have come back.
    count: usize,
    /// Bytes that have gone to the engine.
    sent: usize,
    /// Parts of uploads that have gone there.
    parts: usize,
    /// No more than this come back, until it is raised.
    pub most: Option<usize>,
    /// No more than this go there.
    pub most_sent: Option<usize>,
    /// The byte at this place comes back as another one.
    pub spoilt: Option<usize>,
}

/// In the head of each request that sends a part.
const PART: &[u8] = b"x-id=UploadPart&partNumber=";

impl Relay {
    pub fn to(url: &str) -> Self {
        let engine = url.trim_start_matches("http://").trim_end_matches('/');
        let engine = engine.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Passed::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&engine).unwrap();
                let (up_from, up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let state = Arc::clone(&shared);
                std::thread::spawn(move || there(up_from, up_to, &state));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || back(server, client, &state));
            }
        });
        Self { url, state }
    }

    pub fn set(&self, change: impl FnOnce(&mut Passing)) {
        change(&mut self.state.inner.lock().unwrap());
        self.state.changed.notify_all();
    }

    /// Bytes that have come back.
    pub fn count(&self) -> usize {
        self.state.inner.lock().unwrap().count
    }

    /// Parts of uploads that have been sent.
    pub fn parts(&self) -> usize {
        self.state.inner.lock().unwrap().parts
    }

    pub fn wait_for(&self, count: usize) {
        self.wait_until(|passing| count <= passing.count);
    }

    pub fn wait_for_sent(&self, sent: usize) {
        self.wait_until(|passing| sent <= passing.sent);
    }

    fn wait_until(&self, is_enough: impl Fn(&Passing) -> bool) {
        let mut passing = self.state.inner.lock().unwrap();
        while !is_enough(&passing) {
            passing = self.state.changed.wait(passing).unwrap();
        }
    }
}

fn there(mut client: TcpStream, mut server: TcpStream, state: &Passed) {
    let mut chunk = vec![0; 64 << 10];
    // Of the chunk before: a head may lie across two.
    let mut tail = Vec::new();
    while let Ok(read @ 1..) = client.read(&mut chunk) {
        tail.extend_from_slice(&chunk[..read]);
        let parts = memchr::memmem::find_iter(&tail, PART).count();
        tail.drain(..tail.len().saturating_sub(PART.len() - 1));
        let mut passing = state.inner.lock().unwrap();
        passing.parts += parts;
        while passing.most_sent.is_some_and(|most| most <= passing.sent) {
            passing = state.changed.wait(passing).unwrap();
        }
        passing.sent += read;
        drop(passing);
        state.changed.notify_all();
        if server.write_all(&chunk[..read]).is_err() {
            return;
        }
    }
    let _ = server.shutdown(std::net::Shutdown::Both);
}

fn back(mut server: TcpStream, mut client: TcpStream, state: &Passed) {
    let mut chunk = vec![0; 64 << 10];
    while let Ok(read @ 1..) = server.read(&mut chunk) {
        let mut passing = state.inner.lock().unwrap();
        while passing.most.is_some_and(|most| most <= passing.count) {
            passing = state.changed.wait(passing).unwrap();
        }
        let here = passing.count..passing.count + read;
        if let Some(at) = passing.spoilt.filter(|at| here.contains(at)) {
            chunk[at - here.start] ^= 1;
        }
        passing.count += read;
        drop(passing);
        state.changed.notify_all();
        if client.write_all(&chunk[..read]).is_err() {
            return;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
}
