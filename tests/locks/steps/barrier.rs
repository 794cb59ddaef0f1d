//! A member of a barrier dies at each step of its wait: the others pass if it was there before they came, and are
//! told of its death otherwise, each once; and then the barrier is as good as before.

use shmkit::error::SHMKIT_E_PEER_DIED;
use shmkit::sync::{Barrier, Passed};
use shmkit::Code;

use super::super::soon;
use super::*;

fn barrier<'p>(party: &'p Party<'_>, count: u32) -> Barrier<'p> {
    party.barrier(FIRST, count).unwrap()
}

/// Whether who has waited was told of a death.
fn is_told(waited: Result<Passed, Code>) -> bool {
    waited.is_err_and(|code| {
        assert_eq!(code.raw(), SHMKIT_E_PEER_DIED);
        true
    })
}

/// Waits until it has passed so often, and tells of how many deaths it has heard before each time.
fn pass(barrier: Barrier<'_>, passes: u32, told: &Line) {
    for _ in 0..passes {
        let mut deaths = 0;
        while is_told(barrier.wait()) {
            deaths += 1;
        }
        told.tell(deaths);
    }
    // Its end would wake others.
    stay();
}

/// A member by now, that waits when `go` tells it.
fn member(scene: &Scene<'_>, count: u32, passes: u32, go: &Line) -> Worker {
    let member = worker(&scene.region, |party, told| {
        let barrier = barrier(party, count);
        told.tell(1);
        go.hear();
        pass(barrier, passes, told);
    });
    member.go();
    assert_eq!(member.told.hear(), 1);
    member
}

fn go_one_after_the_other(members: &[Worker], go: &Line, what: &str) {
    for member in members {
        go.tell(1);
        assert_eq!(await_rest(&member.child, for_long), Rest::Asleep, "{what}");
    }
    await_long_sleep(members, what);
}

/// What each tells before each pass.
fn all_tell(workers: &[Worker], passes: u32, what: &str) -> Vec<Vec<i64>> {
    workers.iter().map(|it| (0..passes).map(|_| hear(&it.told, what)).collect()).collect()
}

/// One of three dies, while it waits or is about to; `comes_first`: before the others.
fn dies(scene: &Scene<'_>, comes_first: bool, wait: fn(Barrier<'_>)) -> Fate {
    const COUNT: u32 = 3;
    let go = Line::new();
    let others: Vec<_> = (0..2).map(|_| member(scene, COUNT, 2, &go)).collect();
    let passes = Line::new();
    let newcomer = worker(&scene.region, |party, told| {
        let times = passes.hear() as u32;
        pass(barrier(party, COUNT), times, told);
    });
    let victim = scene.victim(|party, arm| {
        let barrier = barrier(party, COUNT);
        arm();
        wait(barrier);
    });
    if !comes_first {
        go_one_after_the_other(&others, &go, scene.name);
    }
    let asleep = victim.go(for_long) == Rest::Asleep;
    if comes_first {
        others.iter().for_each(|_| go.tell(1));
    }
    if asleep {
        victim.await_stop();
    }
    // In the first round, or in the second one.
    await_long_sleep(&others, &victim.what);
    let fate = victim.dies();
    let was_there = fate.times(&["barrier.arrived", "barrier.ended"]) > fate.times(&["barrier.took_back"]);
    newcomer.go();
    passes.tell(if was_there { 1 } else { 2 });
    let told = all_tell(&others, 2, &fate.what);
    let expected = match (fate.survived, was_there) {
        (true, _) => [0, 0],
        (false, true) => [0, 1],
        (false, false) => [1, 0],
    };
    assert!(told.iter().all(|told| *told == expected), "{}: deaths told: {told:?}", fate.what);
    let of_newcomer = all_tell(&[newcomer], 1, &fate.what);
    assert!(of_newcomer[0][0] <= 1, "{}: {of_newcomer:?}", fate.what);
    fate
}

/// One of four dies, and then the one who tells the others of that; `awaited`: they wait meanwhile.
fn dies_telling(scene: &Scene<'_>, awaited: bool) -> Fate {
    const COUNT: u32 = 4;
    let (go, never) = (Line::new(), Line::new());
    let others: Vec<_> = (0..2).map(|_| member(scene, COUNT, 1, &go)).collect();
    let newcomers: Vec<_> =
        (0..2).map(|_| worker(&scene.region, |party, told| pass(barrier(party, COUNT), 1, told))).collect();
    let first = member(scene, COUNT, 1, &never);
    let victim = scene.victim(|party, arm| {
        let barrier = barrier(party, COUNT);
        arm();
        assert!(is_told(barrier.wait()));
    });
    if awaited {
        let asleep = victim.go(for_long) == Rest::Asleep;
        go_one_after_the_other(&others, &go, scene.name);
        first.child.slay();
        if asleep {
            victim.await_stop();
        }
    } else {
        first.child.slay();
        victim.go(|_| false);
    }
    let fate = victim.dies();
    if !awaited {
        others.iter().for_each(|_| go.tell(1));
    }
    newcomers.iter().for_each(Worker::go);
    let told = all_tell(&others, 1, &fate.what).concat();
    // Whoever waits between the two hears of each.
    let most = if awaited && !fate.survived { 2 } else { 1 };
    assert!(told.iter().all(|told| (1..=most).contains(told)), "{}: deaths told: {told:?}", fate.what);
    let told = all_tell(&newcomers, 1, &fate.what).concat();
    assert!(told.iter().all(|&told| told <= most), "{}: deaths told: {told:?}", fate.what);
    fate
}

#[test]
fn a_barrier_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        let mut each = |name: &str, scene: &dyn Fn(&Scene<'_>) -> Fate| seen.at_each_step(name, scene);
        each("makes it", &|scene| {
            let others: Vec<_> = (0..3)
                .map(|_| worker(&scene.region, |party, told| pass(barrier(party, 3), 1, told)))
                .collect();
            let victim = scene.victim(|party, arm| {
                arm();
                barrier(party, 3);
            });
            victim.go(|_| false);
            let fate = victim.dies();
            others.iter().for_each(Worker::go);
            let told = all_tell(&others, 1, &fate.what).concat();
            assert!(told.iter().all(|&told| told <= 1), "{}: deaths told: {told:?}", fate.what);
            fate
        });
        let wait = |barrier: Barrier<'_>| assert!(!is_told(barrier.wait()));
        each("waits for others", &|scene| dies(scene, true, wait));
        each("is waited for", &|scene| dies(scene, false, wait));
        each("waits until a deadline", &|scene| {
            dies(scene, true, |barrier| assert!(barrier.wait_until(soon()).is_err()))
        });
        each("tells", &|scene| dies_telling(scene, false));
        each("tells others who wait", &|scene| dies_telling(scene, true));
        let sources =
            [include_str!("../../../src/sync/barrier.rs"), include_str!("../../../src/sync/member.rs")];
        seen.assert_all_of(&sources, &[]);
    });
}
