//! A decode thread for each person: encoded pictures in by a short queue, raw ones out by a slot.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::call::VideoFrame;
use crate::media::frame::{I420, Picture, Pool};
use crate::media::video::{Decoder, VideoCodec};
use crate::signal::message::PeerId;
use crate::units::Size;

/// Pictures that may wait for the decoder; more is delay.
const QUEUE: usize = 8;

/// What a decode thread tells the driver.
#[derive(Debug)]
pub enum DecodeEvent {
    /// A picture of another size than before (the first one as well).
    Size(PeerId, Size),
    /// The decoder needs a key frame.
    Trouble(PeerId),
}

/// Where decoded pictures go.
pub type Show = Box<dyn FnMut(&Picture) + Send>;

/// A running decode thread; it ends when this is dropped.
pub struct Decoding {
    frames: Option<SyncSender<VideoFrame>>,
    thread: Option<JoinHandle<()>>,
    /// After an overflow nothing is of use until the next key frame.
    skipping: bool,
}

impl Decoding {
    /// Starts a thread for the pictures of `peer`.
    pub fn start(peer: PeerId, show: Show, events: mpsc::Sender<DecodeEvent>) -> Self {
        let (frames, queue) = sync_channel(QUEUE);
        let worker = Worker {
            peer,
            show,
            events,
            decoder: None,
            pool: Pool::default(),
            size: None,
        };
        let thread = std::thread::Builder::new()
            .name("decode".into())
            .spawn(move || worker.run(&queue))
            .expect("the system starts a thread");
        Self {
            frames: Some(frames),
            thread: Some(thread),
            skipping: false,
        }
    }

    /// Hands over a picture. Returns false where it was dropped and a key frame is needed.
    pub fn decode(&mut self, frame: VideoFrame) -> bool {
        self.skipping &= !frame.keyframe;
        let Some(frames) = self.frames.as_ref().filter(|_| !self.skipping) else {
            return true;
        };
        match frames.try_send(frame) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.skipping = true;
                false
            }
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        self.frames = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    peer: PeerId,
    show: Show,
    events: mpsc::Sender<DecodeEvent>,
    decoder: Option<(VideoCodec, Decoder)>,
    pool: Pool,
    size: Option<Size>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<VideoFrame>) {
        while let Ok(frame) = queue.recv() {
            match self.decode(&frame) {
                Some(picture) => {
                    (self.show)(&picture);
                    if self.size != Some(picture.size()) {
                        self.size = Some(picture.size());
                        self.tell(DecodeEvent::Size(self.peer.clone(), picture.size()));
                    }
                }
                None => self.tell(DecodeEvent::Trouble(self.peer.clone())),
            }
        }
    }

    fn decode(&mut self, frame: &VideoFrame) -> Option<Picture> {
        if self
            .decoder
            .as_ref()
            .is_none_or(|(codec, _)| *codec != frame.codec)
        {
            let decoder = Decoder::new(frame.codec)
                .inspect_err(|error| tracing::warn!(%error, "no decoder"))
                .ok()?;
            self.decoder = Some((frame.codec, decoder));
        }
        let (_, decoder) = self.decoder.as_mut()?;
        match decoder.decode(&frame.data, &mut self.pool) {
            Ok(picture) => picture,
            Err(error) => {
                tracing::debug!(%error, "a picture was not decoded");
                // A fresh decoder carries no damage into the next key frame.
                self.decoder = None;
                None
            }
        }
    }

    /// The queue is long enough for what is rare; what is lost of it comes again.
    fn tell(&self, event: DecodeEvent) {
        let _ = self.events.try_send(event);
    }
}

/// Shows pictures by a slot.
pub fn to_slot(slot: Arc<crate::io::slot::Slot<I420>>) -> Show {
    Box::new(move |picture| {
        slot.put(Arc::clone(picture));
    })
}
