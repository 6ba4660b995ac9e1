//! Records that go while queues name them.

use super::*;

/// Many records that wait for something, and a few more with these names.
fn crowd(others: usize) -> Bench {
    let names: Vec<String> = (0..others).map(|n| format!("crowd{n}")).collect();
    let crowd = names
        .iter()
        .map(|name| ("bo", name.as_str(), &[("HIGH", "9")] as Fields<'_>));
    let few: [(&str, &str, Fields<'_>); 3] = [
        ("calc", "x", &[("CALC", "VAL+1"), ("FLNK", "y")]),
        ("calc", "y", &[("CALC", "VAL+1")]),
        (
            "seq",
            "slow",
            &[("DLY1", "5"), ("LNK1", "y PP"), ("DO1", "7")],
        ),
    ];
    let all: Vec<_> = few.into_iter().chain(crowd).collect();
    let mut bench = Bench::new(&all);
    for name in &names {
        bench.put(name, 1u32);
    }
    bench.posts();
    bench
}

/// A record of this name, which gets the number of the one that was removed last.
fn replace(bench: &mut Bench, name: &str) -> u32 {
    let id = bench.records.find(name).unwrap();
    bench.records.remove(&[id]);
    let mut other = bench.records.empty_like();
    let new = other.add("calc", "new").unwrap();
    other.set_field(new, "CALC", "VAL+1").unwrap();
    let (adopted, notes) = bench.records.adopt(&mut other, &[new]);
    assert_eq!(
        (adopted[0].1, notes),
        (id, vec![]),
        "the number is given again"
    );
    bench.records.set_watched(id, true);
    id
}

#[test]
fn what_a_queue_holds_of_a_record_that_went_is_not_for_the_one_that_has_its_number() {
    let mut bench = crowd(0);
    let x = bench.records.find("x").unwrap();
    bench.records.process(x);
    replace(&mut bench, "x");
    bench.run();
    assert_eq!((bench.number("new"), bench.number("y")), (0.0, 0.0));
    // What comes after it is.
    let new = bench.records.find("new").unwrap();
    bench.records.process(new);
    bench.run();
    assert_eq!(bench.number("new"), 1.0);
}

#[test]
fn a_record_with_a_number_that_is_queued_is_processed_for_itself() {
    let mut bench = crowd(0);
    let x = bench.records.find("x").unwrap();
    let y = bench.records.find("y").unwrap();
    bench.records.process(x);
    bench.records.process(y);
    let new = replace(&mut bench, "x");
    bench.records.process(new);
    replace_again(&mut bench, new);
    bench.records.process(new);
    bench.run();
    assert_eq!((bench.number("new"), bench.number("y")), (1.0, 1.0));
}

/// The same number is given once more while the queue still holds what the first two left in it.
fn replace_again(bench: &mut Bench, id: u32) {
    assert_eq!(replace(bench, "new"), id);
}

#[test]
fn posts_of_a_record_that_went_are_nobodys() {
    let mut bench = crowd(0);
    bench.process("x");
    bench.process("x");
    let before = bench.records.posts.len();
    let new = replace(&mut bench, "x");
    let mut told = Vec::new();
    while let Some(post) = bench.records.pop_post() {
        told.push((post.record, post.val));
    }
    assert!(!told.is_empty() && told.len() < before, "those of y stay");
    assert!(told.iter().all(|(id, _)| *id != new), "{told:?}");
    // What it posts itself is told.
    bench.process("new");
    let posts = bench.posts();
    assert!(
        posts.iter().any(|post| post.starts_with("new.VAL")),
        "{posts:?}"
    );
}

#[test]
fn timers_of_a_record_that_went_do_not_wake_another() {
    let mut bench = crowd(0);
    bench.process("slow");
    replace(&mut bench, "slow");
    bench.wait(10.0);
    assert_eq!((bench.number("new"), bench.number("y")), (0.0, 0.0));
    assert_eq!(bench.records.poll_timeout(), None, "no timer is left");
}

#[test]
fn a_record_is_removed_without_searching_what_is_under_way() {
    let mut bench = crowd(1000);
    let x = bench.records.find("x").unwrap();
    for n in 0..1000 {
        let id = bench.records.find(&format!("crowd{n}")).unwrap();
        bench.records.process(id);
        bench.records.process(x);
    }
    let under_way = |bench: &Bench| {
        let records = &bench.records;
        (
            records.chain.roots.len(),
            records.timers.len(),
            records.posts.len(),
        )
    };
    let before = under_way(&bench);
    assert_eq!(before.0, 2000);
    bench.records.remove(&[x]);
    assert_eq!(
        under_way(&bench),
        before,
        "what is left of it is passed over later"
    );
    bench.run();
    assert_eq!(bench.records.chain.roots.len(), 0);
    assert!(bench.records.chain.lapsed.is_empty(), "and forgotten");
    assert_eq!(bench.number("y"), 0.0, "nothing of it was processed");
}
