#![allow(clippy::unwrap_used)]
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn url(addr: SocketAddr) -> Url {
    Url::parse(&format!("http://{addr}/")).unwrap()
}

fn machine(dir: &tempfile::TempDir) -> Neighbourhood {
    Neighbourhood {
        dir: Some(dir.path().to_owned()),
        mdns: false,
    }
}

/// Looks until it is found: the advertiser is at work in its own task.
async fn found(place: &Neighbourhood, tag: &Tag) -> Url {
    timeout(PATIENCE, async {
        loop {
            if let Some(url) = place.find(tag).await {
                return url;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is found")
}

#[tokio::test]
async fn a_room_is_found_on_this_machine_while_it_is_advertised() {
    let dir = tempfile::tempdir().unwrap();
    let (place, tag) = (machine(&dir), Tag::new("lobby"));
    assert_eq!(place.find(&tag).await, None);
    let (_listener, addr) = listen().await;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], addr.port()));
    let (advert, _watch) = place.clone().advertise(tag.clone(), everywhere);
    assert_eq!(found(&place, &tag).await, url(addr));
    assert_eq!(place.find(&Tag::new("other")).await, None);
    drop(advert);
    timeout(PATIENCE, async {
        while place.find(&tag).await.is_some() {
            tokio::task::yield_now().await
        }
    })
    .await
    .expect("it is gone with the advert");
}

#[tokio::test]
async fn what_a_crash_leaves_behind_means_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (place, tag) = (machine(&dir), Tag::new("lobby"));
    let (_listener, addr) = listen().await;
    let path = dir.path().join(&tag.0);
    std::fs::write(&path, format!("{addr}\n")).unwrap();
    assert_eq!(
        place.find(&tag).await,
        None,
        "no lock, though somebody listens there"
    );

    // Locked by somebody whose server is gone.
    let held = File::open(&path).unwrap();
    held.lock().unwrap();
    drop(_listener);
    assert_eq!(place.find(&tag).await, None, "nobody listens there");
    for junk in ["", "127.0.0.1", "\u{0}\u{0}\n", "none\n"] {
        std::fs::write(&path, junk).unwrap();
        assert_eq!(place.find(&tag).await, None);
    }
    drop(held);
    let (_listener, addr) = listen().await;
    let (_advert, _watch) = place.clone().advertise(tag.clone(), addr);
    assert_eq!(
        found(&place, &tag).await,
        url(addr),
        "the stale file is taken over"
    );
}

#[tokio::test]
async fn of_two_at_the_same_moment_one_moves() {
    let dir = tempfile::tempdir().unwrap();
    let (place, tag) = (machine(&dir), Tag::new("lobby"));
    let ((_a, a), (_b, b)) = (listen().await, listen().await);
    let (_advert_a, mut watch_a) = place.clone().advertise(tag.clone(), a);
    let (_advert_b, mut watch_b) = place.clone().advertise(tag.clone(), b);
    let target = timeout(PATIENCE, async {
        tokio::select! {
            to = watch_a.moved() => (to, url(b)),
            to = watch_b.moved() => (to, url(a)),
        }
    });
    let (to, other) = target.await.expect("one is told to move");
    assert_eq!(to, other);
    assert_eq!(
        found(&place, &tag).await,
        to,
        "newcomers go to the one that stays"
    );
}

#[tokio::test]
async fn a_room_is_found_on_the_network_and_the_older_stays() {
    // Files that the two do not share, as on two machines.
    let network = Neighbourhood {
        dir: None,
        mdns: true,
    };
    let room = format!("test-{}", new_key());
    let tag = Tag::new(&room);
    let ((_a, a), (_b, b)) = (listen().await, listen().await);
    let (_advert_a, mut watch_a) = network.clone().advertise(tag.clone(), a);
    assert_eq!(found(&network, &tag).await, url(a));
    let (_advert_b, mut watch_b) = network.clone().advertise(tag.clone(), b);
    let moved = timeout(PATIENCE, watch_b.moved())
        .await
        .expect("the younger is told to move");
    assert_eq!(moved, url(a));
    assert!(watch_a.found.try_recv().is_err(), "the older is not");
}

#[test]
fn the_public_name_says_nothing_and_is_its_own() {
    let tag = Tag::new("standup");
    assert_eq!(tag.0.len(), 32);
    assert_eq!(tag, Tag::new("standup"));
    assert_ne!(tag, Tag::new("standup2"));
    let key = new_key();
    let fullname = format!("{}-{key}.{SERVICE}", tag.0);
    assert!(fullname.split('.').next().unwrap().len() <= 63, "a label of DNS");
    assert_eq!(tag.key_of(&fullname), Some(key.as_str()));
    assert_eq!(Tag::new("other").key_of(&fullname), None);
    for strange in ["", ".", "-", &tag.0, "x._facetty._tcp.local."] {
        assert_eq!(tag.key_of(strange), None);
    }
}

#[test]
fn a_directory_of_others_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("facetty");
    own_dir(&inside).unwrap();
    own_dir(&inside).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o777)).unwrap();
        own_dir(&inside).unwrap_err();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        own_dir(&link).unwrap_err();
    }
    own_dir(&dir.path().join("no/such/parent")).unwrap_err();
}
