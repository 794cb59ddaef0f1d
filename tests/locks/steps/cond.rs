//! Who waits for a condition or notifies dies: whoever is left finds what there is to be found. There are tickets
//! under a mutex, one for each who waits; as long as there is one nobody sleeps.

use shmkit::sync::{Condvar, Locked, Mutex};

use super::super::soon;
use super::*;

const CONDITION: usize = FIRST + 64;

/// Guarded by the mutex.
#[repr(C)]
struct Board {
    tickets: AtomicU32,
    given_by_victim: AtomicU32,
    taken_by_victim: AtomicU32,
    inside: AtomicU32,
    crowds: AtomicU32,
    deaths: AtomicU32,
}

fn board(region: &Region) -> &Board {
    unsafe { &*region.as_ptr().add(FIRST + 4096).cast() }
}

fn add(number: &AtomicU32) {
    number.fetch_add(1, Ordering::SeqCst);
}

fn both<'p>(party: &'p Party<'_>) -> (Mutex<'p>, Condvar<'p>) {
    (party.mutex(FIRST).unwrap(), party.condvar(CONDITION).unwrap())
}

fn repair(board: &Board, mutex: Mutex<'_>, locked: Locked) {
    if locked == Locked::OwnerDied {
        add(&board.deaths);
        mutex.consistent().unwrap();
    }
}

/// Waits for a ticket, and takes it.
fn take(region: &Region, party: &Party<'_>) {
    let (board, (mutex, condition)) = (board(region), both(party));
    repair(board, mutex, mutex.lock().unwrap());
    while board.tickets.load(Ordering::SeqCst) == 0 {
        repair(board, mutex, condition.wait(&mutex).unwrap());
    }
    if board.inside.fetch_add(1, Ordering::SeqCst) != 0 {
        add(&board.crowds);
    }
    board.tickets.fetch_sub(1, Ordering::SeqCst);
    board.inside.fetch_sub(1, Ordering::SeqCst);
    mutex.unlock().unwrap();
}

/// Gives so many, and says so.
fn give(region: &Region, party: &Party<'_>, tickets: u32) {
    let (board, (mutex, condition)) = (board(region), both(party));
    repair(board, mutex, mutex.lock().unwrap());
    board.tickets.fetch_add(tickets, Ordering::SeqCst);
    mutex.unlock().unwrap();
    match tickets {
        1 => condition.notify_one().unwrap(),
        _ => condition.notify_all().unwrap(),
    }
}

/// Dies in the middle of what it does, while others wait, or behind whom they wait, until another gives `tickets`.
fn dies(
    scene: &Scene<'_>,
    is_first: bool,
    tickets: u32,
    body: impl FnOnce(&Board, Mutex<'_>, Condvar<'_>),
) -> Fate {
    let region = &scene.region;
    let giver = survivor(region, |party| give(region, party, tickets));
    let mut helpers: Vec<_> = (0..2).map(|_| survivor(region, |party| give(region, party, 1))).collect();
    let mut takers: Vec<_> = (0..2).map(|_| survivor(region, |party| take(region, party))).collect();
    let victim = scene.victim(|party, arm| {
        let (mutex, condition) = both(party);
        arm();
        body(board(region), mutex, condition);
    });
    if !is_first {
        go_to_sleep_for_long(&takers, scene.name);
    }
    let asleep = victim.go(for_long) == Rest::Asleep;
    let mut given = board(region).given_by_victim.load(Ordering::SeqCst);
    if is_first && asleep {
        go_to_sleep_for_long(&takers, scene.name);
        giver.go();
        hear(&giver.told, &victim.what);
        given += tickets;
        victim.await_stop();
    } else if is_first {
        // The victim may have the mutex.
        takers.iter().for_each(Worker::go);
        for taker in &takers {
            assert_eq!(
                await_rest(&taker.child, |call| for_long(call) || on(word_at(region, 0))(call)),
                Rest::Asleep
            );
        }
    }
    let fate = victim.dies();
    let what = &fate.what;
    let mut left = given - board(region).taken_by_victim.load(Ordering::SeqCst);
    let mut done = Vec::new();
    while !takers.is_empty() {
        if left == 0 {
            let helper = helpers.pop().unwrap();
            helper.go();
            done.push(helper);
            left += 1;
        }
        done.push(one_is_done(&mut takers, what));
        left -= 1;
    }
    let board = board(region);
    assert_eq!(board.tickets.load(Ordering::SeqCst), left, "{what}: tickets");
    assert_eq!(board.crowds.load(Ordering::SeqCst), 0, "{what}: two owners");
    fate
}

fn give_and(notify: fn(Condvar<'_>), tickets: u32) -> impl Fn(&Board, Mutex<'_>, Condvar<'_>) {
    move |board, mutex, condition| {
        assert_eq!(mutex.lock(), Ok(Locked::Clean));
        board.tickets.fetch_add(tickets, Ordering::SeqCst);
        board.given_by_victim.fetch_add(tickets, Ordering::SeqCst);
        mutex.unlock().unwrap();
        notify(condition);
    }
}

fn wait_and_take(board: &Board, mutex: Mutex<'_>, condition: Condvar<'_>) {
    assert_eq!(mutex.lock(), Ok(Locked::Clean));
    while board.tickets.load(Ordering::SeqCst) == 0 {
        assert_eq!(condition.wait(&mutex), Ok(Locked::Clean));
    }
    board.tickets.fetch_sub(1, Ordering::SeqCst);
    add(&board.taken_by_victim);
    mutex.unlock().unwrap();
}

fn wait_in_vain(_: &Board, mutex: Mutex<'_>, condition: Condvar<'_>) {
    assert_eq!(mutex.lock(), Ok(Locked::Clean));
    // Where another gives up at the same time this ends as if it were notified.
    let _ = condition.wait_until(&mutex, soon());
    mutex.unlock().unwrap();
}

#[test]
fn a_condition_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        let mut each = |name: &str, scene: &dyn Fn(&Scene<'_>) -> Fate| seen.at_each_step(name, scene);
        each("notifies one", &|scene| dies(scene, false, 1, give_and(|it| it.notify_one().unwrap(), 1)));
        each("notifies one, and another", &|scene| {
            dies(scene, false, 1, |board, mutex, condition| {
                give_and(|it| it.notify_one().unwrap(), 1)(board, mutex, condition);
                condition.notify_one().unwrap();
            })
        });
        each("notifies all", &|scene| dies(scene, false, 1, give_and(|it| it.notify_all().unwrap(), 2)));
        each("waits, and one is notified", &|scene| dies(scene, true, 1, wait_and_take));
        each("waits, and all are notified", &|scene| dies(scene, true, 3, wait_and_take));
        each("waits until a deadline", &|scene| dies(scene, false, 1, wait_in_vain));
        each("waits until a deadline before others", &|scene| dies(scene, true, 1, wait_in_vain));
        seen.assert_all_of(&[include_str!("../../../src/sync/cond.rs")], &[]);
    });
}
