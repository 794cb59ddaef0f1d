//! Many that grow one region at once, come, go and are killed: it only grows, and nobody loses a byte.

use std::os::fd::AsRawFd;

use libc::EINVAL;

use crate::door::*;
use crate::growth::{capped, object, MOST};
use crate::support::*;

pairs! {
    two_processes_that_grow_at_once_keep_all_bytes: 20,
    peers_come_and_go_while_one_grows: 20,
    a_killed_grower_leaves_it_whole: 20,
}

scenarios! {
    threads_that_grow_at_once_see_it_grow_only: 20,
}

const BLOCK: usize = 512;

/// Grows by chance, in small steps, and marks every second block that is new: those of `who`. Only where the
/// handle is shared by threads can another one have been faster.
fn grow_by_chance<H: Handle>(region: &H, who: u8, shared: bool, rounds: usize) -> usize {
    let mut chance = Chance::new(u64::from(who));
    let (mut marked, mut most) = (0, 0);
    for _ in 0..rounds {
        let before = region.size();
        let target = (before + chance.below(3000)).min(region.size_max());
        match region.grow(target) {
            Ok(()) => most = most.max(target),
            Err(failure) => {
                assert!(shared && failure.code == -EINVAL && region.size() > target, "{failure:?}")
            }
        }
        let now = region.size();
        assert!(now >= target && now >= before, "{now}, {before}, {target}");
        while marked < now / BLOCK {
            if marked % 2 == usize::from(who % 2) {
                region.write(marked * BLOCK, &[who + 1; BLOCK]).unwrap();
            }
            marked += 1;
        }
        if chance.below(4) == 0 {
            region.follow().unwrap();
        }
    }
    let mut block = [0; BLOCK];
    for at in (0..marked).filter(|at| at % 2 == usize::from(who % 2)) {
        region.read(at * BLOCK, &mut block).unwrap();
        assert_eq!(block, [who + 1; BLOCK], "block {at} was lost");
    }
    most
}

fn two_processes_that_grow_at_once_keep_all_bytes<S: Door, R: Door>() {
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let (ready, start, told, end) = (Line::new(), Line::new(), Line::new(), Line::new());
    let receive = || R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
    let peer = fork(|| {
        let region = receive();
        ready.tell(0);
        start.hear();
        told.tell(grow_by_chance(&region, 0, false, 400) as i64);
    });
    let watcher = fork(|| {
        let region = receive();
        ready.tell(0);
        let (mut size, mut before) = (0, 0);
        loop {
            let over = end.is_told();
            region.follow().unwrap();
            assert!(region.size() >= size && object(&region) >= before, "it never gets smaller");
            (size, before) = (region.size(), object(&region));
            if over {
                break;
            }
        }
        told.tell(size as i64);
    });
    let region = S::create("grows", 1, &growing(MOST)).unwrap();
    for _ in 0..2 {
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        ready.hear();
    }
    start.tell(0);
    let most = grow_by_chance(&region, 1, false, 400);
    let most = most.max(told.hear() as usize);
    peer.join();
    assert_eq!(object(&region), most, "the larger of both");
    region.follow().unwrap();
    assert_eq!(region.size(), most);
    end.tell(0);
    assert_eq!(told.hear() as usize, most);
    watcher.join();
}

fn peers_come_and_go_while_one_grows<S: Door, R: Door>() {
    const ROUNDS: usize = 200;
    let (one, other) = socketpair(libc::SOCK_SEQPACKET);
    let peer = fork(|| {
        for round in 1..=ROUNDS {
            let region = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
            region.follow().unwrap();
            assert!(region.size() >= round * 4096);
            for page in [0, round - 1] {
                assert_eq!(region.bytes(page * 4096, 4).unwrap(), [page as u8; 4]);
            }
            region.close().unwrap();
        }
    });
    let region = S::create("grows", 4096, &growing(MOST)).unwrap();
    for round in 1..=ROUNDS {
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        region.grow((round + 1) * 4096).unwrap();
        region.write(round * 4096, &[round as u8; 4096]).unwrap();
    }
    peer.join();
    for page in 0..=ROUNDS {
        assert_eq!(region.bytes(page * 4096, 4096).unwrap(), [page as u8; 4096]);
    }
}

fn a_killed_grower_leaves_it_whole<S: Door, R: Door>() {
    for round in 0..40 {
        let (one, other) = socketpair(libc::SOCK_SEQPACKET);
        let ready = Line::new();
        let grower = fork(|| {
            let region = R::recv_region(other.as_raw_fd(), &capped(MOST), None).unwrap();
            ready.tell(0);
            for size in (5000..MOST).step_by(1000) {
                region.grow(size).unwrap();
                region.write(size - 1, b"!").unwrap();
            }
        });
        let region = S::create("grows", 5000, &growing(MOST)).unwrap();
        region.write(0, &[7; 4096]).unwrap();
        S::send_region(one.as_raw_fd(), &region, None).unwrap();
        ready.hear();
        // No event to wait for: the point is to strike anywhere.
        unsafe { libc::usleep((round * 97 % 1500) as u32) };
        grower.slay();
        region.follow().unwrap();
        let size = region.size();
        assert!(size % 1000 == 0 && size >= 5000, "{size}");
        assert_eq!(region.bytes(0, 4096).unwrap(), [7; 4096]);
        for end in (6000..size).step_by(1000) {
            assert_eq!(region.bytes(end - 1, 1).unwrap(), b"!", "of {size}");
        }
        assert_eq!(region.bytes(size - 500, 499).unwrap(), [0; 499]);
        region.grow(MOST).unwrap();
        region.write(MOST - 1, b"x").unwrap();
    }
}

/// One handle for all: what a thread grows, the others have.
fn threads_that_grow_at_once_see_it_grow_only<D: Door>() {
    // So that the threads' stacks are there before.
    for _ in 0..10 {
        let region = D::create("grows", 1, &growing(4 * MOST)).unwrap();
        let all = std::sync::Barrier::new(3);
        let most = std::thread::scope(|scope| {
            let growers = [0, 1].map(|who| {
                let (region, all) = (&region, &all);
                scope.spawn(move || {
                    all.wait();
                    grow_by_chance(region, who, true, 1000)
                })
            });
            all.wait();
            let mut size = 0;
            while growers.iter().any(|grower| !grower.is_finished()) {
                region.follow().unwrap();
                assert!(region.size() >= size);
                size = region.size();
            }
            growers.into_iter().map(|grower| grower.join().unwrap()).max().unwrap()
        });
        assert_eq!((region.size(), object(&region)), (most, most), "the largest of all");
    }
}
