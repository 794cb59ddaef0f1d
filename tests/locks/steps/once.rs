//! Whoever has begun a once dies: another does it, and is told that it is not the first; and nobody does it once it
//! is done.

use shmkit::sync::Begun;

use super::*;

const OD: u32 = 1 << 30;
const TM: u32 = OD - 1;

#[repr(C)]
struct Board {
    inside: AtomicU32,
    crowds: AtomicU32,
    runs: AtomicU32,
    deaths: AtomicU32,
}

fn board(region: &Region) -> &Board {
    unsafe { &*region.as_ptr().add(FIRST + 4096).cast() }
}

/// Begins, and does it, if it is to be done.
fn turn(region: &Region, party: &Party<'_>, does: bool, busy: impl FnOnce()) {
    let (board, once) = (board(region), party.once(FIRST).unwrap());
    let begun = once.begin().unwrap();
    if begun == Begun::Done {
        return;
    }
    board.crowds.fetch_add(board.inside.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
    board.deaths.fetch_add(u32::from(begun == Begun::RunAgain), Ordering::SeqCst);
    busy();
    board.runs.fetch_add(u32::from(does), Ordering::SeqCst);
    board.inside.fetch_sub(1, Ordering::SeqCst);
    once.end(does).unwrap();
}

struct Situation {
    name: &'static str,
    /// Another has begun; it ends, without having done it, when the victim sleeps, or has died.
    begun: bool,
    /// The other is killed instead.
    falls: bool,
    /// Sleep behind the victim.
    sleepers: usize,
    /// The victim does it.
    does: bool,
}

const SITUATIONS: &[Situation] = &[
    Situation { name: "does it", begun: false, falls: false, sleepers: 0, does: true },
    Situation { name: "fails", begun: false, falls: false, sleepers: 0, does: false },
    Situation { name: "does it while others wait", begun: false, falls: false, sleepers: 2, does: true },
    Situation { name: "fails while others wait", begun: false, falls: false, sleepers: 2, does: false },
    Situation { name: "does it after another", begun: true, falls: false, sleepers: 2, does: true },
    Situation { name: "does it after one who died", begun: true, falls: true, sleepers: 2, does: true },
];

fn dies(scene: &Scene<'_>, situation: &Situation) -> Fate {
    let (region, word) = (&scene.region, word_at(&scene.region, 0));
    let (begun, go) = (Line::new(), Line::new());
    let mut other = situation.begun.then(|| {
        let other = fork(|| {
            let party = join(region);
            let once = party.once(FIRST).unwrap();
            assert_eq!(once.begin(), Ok(Begun::Run));
            begun.tell(1);
            go.hear();
            once.end(false).unwrap();
        });
        begun.hear();
        other
    });
    let sleeper = || {
        let sleeper = worker(region, |party, _| turn(region, party, true, || ()));
        sleeper.go();
        await_rest(&sleeper.child, on(word));
        sleeper.child
    };
    let victim = scene.victim(|party, arm| {
        let once = party.once(FIRST).unwrap();
        if situation.begun {
            arm();
        }
        let begun = once.begin().unwrap();
        if begun == Begun::Done {
            // Another was the quicker.
            return;
        }
        assert_eq!(begun == Begun::RunAgain, situation.falls);
        if !situation.begun {
            arm();
        }
        once.end(situation.does).unwrap();
    });
    let mut sleepers = Vec::new();
    if !situation.begun {
        sleepers.extend((0..situation.sleepers).map(|_| sleeper()));
    }
    let end_other = |other: &mut Option<Child>| {
        if let Some(other) = other.take() {
            match situation.falls {
                true => other.slay(),
                false => {
                    go.tell(1);
                    ends(other, scene.name);
                }
            }
        }
    };
    if victim.go(on(word)) == Rest::Asleep {
        sleepers.extend((0..situation.sleepers).map(|_| sleeper()));
        end_other(&mut other);
        victim.await_stop();
    }
    let at = word.load(Ordering::SeqCst);
    let of_victim = std::fs::metadata(format!("/proc/{}/task/{}", victim.child.pid(), at & TM)).is_ok();
    let fate = victim.dies();
    let had_died = fate.times(&["consistent.cleared"]) == 0 && situation.falls;
    let holds = at & TM != 0 && of_victim && !fate.survived;
    end_other(&mut other);
    all_end(sleepers, &fate.what);
    another(region, &fate.what, |party| turn(region, party, true, || ()));
    another(region, &fate.what, |party| assert_eq!(party.once(FIRST).unwrap().begin(), Ok(Begun::Done)));
    let board = board(region);
    let get = |number: &AtomicU32| number.load(Ordering::SeqCst);
    let done = fate.times(&["once.done"]);
    assert_eq!(get(&board.crowds), 0, "{}: two do it", fate.what);
    assert_eq!(get(&board.runs) as usize + done, 1, "{}: not once", fate.what);
    let told = done == 0 && (holds || had_died);
    assert_eq!(get(&board.deaths), u32::from(told), "{}: deaths told; the word was {at:#x}", fate.what);
    fate
}

#[test]
fn a_once_at_each_step() {
    own_process!(240, || {
        steps::without_slices(true);
        let mut seen = Seen::default();
        for situation in SITUATIONS {
            seen.at_each_step(situation.name, |scene| dies(scene, situation));
        }
        // Begun for the first time.
        seen.at_each_step("begins", |scene| {
            let victim = scene.victim(|party, arm| {
                arm();
                let once = party.once(FIRST).unwrap();
                assert_eq!(once.begin(), Ok(Begun::Run));
                once.end(true).unwrap();
            });
            victim.go(|_| false);
            let fate = victim.dies();
            let region = &scene.region;
            another(region, &fate.what, |party| turn(region, party, true, || ()));
            let runs = board(region).runs.load(Ordering::SeqCst) as usize;
            assert_eq!(runs + fate.times(&["once.done"]), 1, "{}: not once", fate.what);
            fate
        });
        seen.assert_all_of(&[include_str!("../../../src/sync/once.rs")], &[]);
    });
}
