//! The encode thread: pictures and targets come in slots, encoded frames leave in a bounded queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc;

use super::clock;
use super::slot::{self, Slot};
use crate::call::EncodedVideo;
use crate::call::feed::Feed;
use crate::call::targets::{Target, TargetId};
use crate::media::frame::{I420, Picture};

/// A running encode thread; it ends when this is dropped.
pub struct Encoding {
    pictures: Arc<Slot<I420>>,
    targets: Arc<Slot<Vec<Target>>>,
    forget: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Encoding {
    /// Starts the thread. `epoch` is the call's start.
    pub fn start(epoch: Instant, frames: mpsc::Sender<EncodedVideo>) -> Self {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let quit = Arc::new(AtomicBool::new(false));
        let forget = Arc::new(AtomicBool::new(false));
        let thread = {
            let (quit, forget) = (Arc::clone(&quit), Arc::clone(&forget));
            std::thread::Builder::new()
                .name("encode".into())
                .spawn(move || {
                    let wake = slot::unpark(std::thread::current());
                    let (pictures, targets) = (Slot::new(Arc::clone(&wake)), Slot::new(wake));
                    let _ = send.send((Arc::clone(&pictures), Arc::clone(&targets)));
                    let mut worker = Worker {
                        epoch,
                        frames,
                        feeds: BTreeMap::new(),
                        last: None,
                    };
                    while !quit.load(Ordering::Acquire) {
                        if forget.swap(false, Ordering::AcqRel) {
                            pictures.take();
                            worker.last = None;
                        }
                        worker.work(&pictures, &targets);
                        std::thread::park();
                    }
                })
                .expect("the system starts a thread")
        };
        let (pictures, targets) = receive
            .recv()
            .expect("the thread just started hands over its slots");
        Self {
            pictures,
            targets,
            forget,
            quit,
            thread: Some(thread),
        }
    }

    /// Where pictures go.
    pub fn pictures(&self) -> Arc<Slot<I420>> {
        Arc::clone(&self.pictures)
    }

    /// Forgets the last picture: who switches the camera on does not begin with what it saw long ago.
    pub fn forget(&self) {
        self.forget.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Which encoders are to run.
    pub fn set_targets(&self, targets: Vec<Target>) {
        self.targets.put(Arc::new(targets));
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

struct Worker {
    epoch: Instant,
    frames: mpsc::Sender<EncodedVideo>,
    feeds: BTreeMap<TargetId, Feed>,
    last: Option<Picture>,
}

impl Worker {
    fn work(&mut self, pictures: &Slot<I420>, targets: &Slot<Vec<Target>>) {
        if let Some(list) = targets.take() {
            self.retarget(&list);
        }
        let fresh = pictures.take();
        let is_fresh = fresh.is_some();
        if let Some(picture) = fresh {
            self.last = Some(picture);
        }
        let Some(picture) = self.last.clone() else { return };
        let now = clock::now();
        let time = now.saturating_duration_since(self.epoch);
        for feed in self.feeds.values_mut().filter(|feed| feed.wants(is_fresh, now)) {
            // A queue that is full makes a picture be left out *before* it is encoded, so that the decoder's
            // chain never breaks.
            let Ok(place) = self.frames.try_reserve() else {
                continue;
            };
            let began = clock::now();
            match feed.encode(&picture, time, now) {
                Ok(Some(encoded)) => place.send(EncodedVideo {
                    took: clock::now().saturating_duration_since(began),
                    ..encoded
                }),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a picture was not encoded"),
            }
        }
    }

    fn retarget(&mut self, list: &[Target]) {
        self.feeds
            .retain(|id, _| list.iter().any(|target| target.id == *id));
        for target in list {
            let result = match self.feeds.get_mut(&target.id) {
                Some(feed) => feed.retarget(*target),
                None => Feed::new(*target, clock::now()).map(|feed| {
                    self.feeds.insert(target.id, feed);
                }),
            };
            if let Err(error) = result {
                tracing::warn!(%error, ?target, "the encoder cannot be set so");
                self.feeds.remove(&target.id);
            }
        }
    }
}
