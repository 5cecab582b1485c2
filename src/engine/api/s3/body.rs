//! Bodies between the socket and the disk: streamed, with the disk's part on blocking threads.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, s3_error};

use super::checksum::Digests;
use super::error;
use crate::engine::objects::{ObjectReader, ObjectsError};

/// What goes to or comes from the disk at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// Runs work that waits for the disk where it blocks no other request.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectsError> + Send + 'static,
) -> S3Result<T> {
    blocking(work).await?.map_err(error)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> S3Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| s3_error!(panic, InternalError, "the storage failed; see the log"))
}

/// A place for a body: what is written is hashed on the way.
pub(super) struct Sink<W> {
    pub(super) writer: W,
    pub(super) digests: Digests,
}

impl<W: Write + Send + 'static> Sink<W> {
    /// Takes in the whole body.
    pub(super) async fn receive(mut self, body: Option<StreamingBlob>) -> S3Result<Self> {
        let Some(mut body) = body else {
            return Ok(self);
        };
        let mut batch = Vec::new();
        let mut size = 0;
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(cannot_receive)?;
            size += bytes.len();
            batch.push(bytes);
            if size >= CHUNK {
                self = self.write_all(std::mem::take(&mut batch)).await?;
                size = 0;
            }
        }
        self.write_all(batch).await
    }

    async fn write_all(mut self, batch: Vec<Bytes>) -> S3Result<Self> {
        on_disk(move || {
            for bytes in batch {
                self.digests.update(&bytes);
                self.writer.write_all(&bytes)?;
            }
            Ok(self)
        })
        .await
    }

    /// Copies `length` bytes; waits for the disk.
    pub(super) fn copy(&mut self, from: &mut ObjectReader, length: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let chunk = &mut buffer[..wanted];
            from.read_exact(chunk)?;
            self.digests.update(chunk);
            self.writer.write_all(chunk)?;
            left -= wanted as u64;
        }
        Ok(())
    }
}

/// The next `length` bytes of the reader as a body.
pub(super) fn send(reader: ObjectReader, length: u64) -> StreamingBlob {
    let chunks = stream::try_unfold((reader, length), |(mut reader, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; wanted];
            reader.read_exact(&mut chunk)?;
            Ok::<_, io::Error>((Bytes::from(chunk), reader))
        });
        let (chunk, reader) = read.await.map_err(io::Error::other)??;
        Ok(Some((chunk, (reader, left - wanted as u64))))
    });
    StreamingBlob::wrap(chunks.inspect_err(|error: &io::Error| {
        // The status is out already, so the client sees a body cut short.
        tracing::error!(%error, "reading an object failed");
    }))
}

/// What a body that cannot be read to its end is called by S3. The library keeps the types of
/// these errors to itself, so that their names are all there is to go by.
fn cannot_receive(problem: StdError) -> S3Error {
    let name = format!("{problem:?} {problem}");
    if name.contains("Sha256Mismatch") {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    } else if name.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided."
        )
    } else {
        let mut error = s3_error!(
            IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header"
        );
        error.set_source(problem);
        error
    }
}
