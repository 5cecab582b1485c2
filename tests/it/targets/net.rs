//! What stands between the program and the world in these tests.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

type Log = Arc<Mutex<Vec<String>>>;

fn drain(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An HTTP proxy that remembers where one wanted to go.
pub struct Proxy {
    address: String,
    taken: Log,
}

impl Proxy {
    /// Lets nobody through.
    pub async fn refusing() -> Self {
        Self::start(false).await
    }

    pub async fn leading() -> Self {
        Self::start(true).await
    }

    async fn start(leads: bool) -> Self {
        let (listener, address) = listener().await;
        let taken = Log::default();
        let log = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, leads, Arc::clone(&log)));
            }
        });
        Self { address, taken }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port of each CONNECT since the last look.
    pub fn taken(&self) -> Vec<String> {
        drain(&self.taken)
    }
}

async fn connect(client: TcpStream, leads: bool, log: Log) {
    let mut client = BufReader::new(client);
    let mut first = String::new();
    let mut line = String::new();
    while client.read_line(&mut line).await.is_ok_and(|read| read > 2) {
        if first.is_empty() {
            first.clone_from(&line);
        }
        line.clear();
    }
    let Some(host) = first
        .strip_prefix("CONNECT ")
        .and_then(|it| it.split(' ').next())
    else {
        return;
    };
    log.lock().unwrap().push(host.to_owned());
    if !leads {
        let _ = client
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .await;
        return;
    }
    let mut server = TcpStream::connect(host).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// TLS in front of something that has none, by a CA that only this test knows.
pub struct Tls {
    pub url: String,
    /// The CA's certificate, PEM.
    pub ca: String,
}

impl Tls {
    pub async fn before(server: &str) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, address) = listener().await;
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    // Whoever does not trust us hangs up.
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self {
            url: format!("https://{}", address.replace("127.0.0.1", "localhost")),
            ca: ca.pem(),
        }
    }
}

/// A service with one answer.
pub struct Stub {
    pub url: String,
    asked: Log,
}

impl Stub {
    pub async fn answering(status: u16, body: &str) -> Self {
        let (listener, address) = listener().await;
        let asked = Log::default();
        let log = Arc::clone(&asked);
        let answer = format!(
            "HTTP/1.1 {status} Stub\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    let mut client = BufReader::new(client);
                    let mut length = 0;
                    let mut line = String::new();
                    while client.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                        let lower = line.to_lowercase();
                        if let Some(given) = lower.strip_prefix("content-length:") {
                            length = given.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    let _ = client.read_exact(&mut body).await;
                    log.lock()
                        .unwrap()
                        .push(String::from_utf8_lossy(&body).into_owned());
                    let _ = client.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self {
            url: format!("http://{address}"),
            asked,
        }
    }

    /// Bodies of the requests since the last look.
    pub fn asked(&self) -> Vec<String> {
        drain(&self.asked)
    }
}
