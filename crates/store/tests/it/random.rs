use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::gate::{Charged, PriceList};
use paygate_core::ledger::{Ending, RefundPolicy};
use paygate_store::StateFile;
use proptest::prelude::*;

use crate::books::{Books, Uses, charge, evaluate, gate};

#[derive(Debug, Clone)]
enum Step {
    Open(u8, u64),
    Grant(u8, u64),
    Deduct(u8, u64),
    Evaluate(u8),
    Charge(u8),
    Settle(usize, bool),
    Goodwill(u8, u64),
    Revoke(u8),
    Rotate(u8),
    Edit(u8, u64),
    Save,
    /// Opened again from the database, as after a kill: no image is written, no thread ended in good order.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, credits) = (0..6_u8, 0..500_u64);
    prop_oneof![
        2 => (key.clone(), credits.clone()).prop_map(|(key, credits)| Step::Open(key, credits)),
        3 => (key.clone(), credits.clone()).prop_map(|(key, credits)| Step::Grant(key, credits)),
        3 => (key.clone(), credits.clone()).prop_map(|(key, credits)| Step::Deduct(key, credits)),
        3 => key.clone().prop_map(Step::Evaluate),
        6 => key.clone().prop_map(Step::Charge),
        6 => (0..8_usize, any::<bool>()).prop_map(|(which, back)| Step::Settle(which, back)),
        1 => (key.clone(), credits.clone()).prop_map(|(key, credits)| Step::Goodwill(key, credits)),
        1 => key.clone().prop_map(Step::Revoke),
        2 => key.clone().prop_map(Step::Rotate),
        1 => (key, credits).prop_map(|(key, credits)| Step::Edit(key, credits)),
        1 => Just(Step::Save),
        2 => Just(Step::Reopen),
    ]
}

/// The key a number stands for, or the one that came of it by rotations.
fn name(file: &StateFile, key: u8) -> String {
    let first = format!("k{key}");
    file.ledger().accounts.current(&first).map_or(first, |account| account.lock().key.to_string())
}

/// Everything that is to be the same when the books are opened again.
fn state(file: &StateFile) -> (String, paygate_core::ledger::Totals) {
    let _ = file.ledger().save_edits();
    let mut image = Vec::new();
    file.ledger().write_image(&mut image).unwrap();
    (String::from_utf8(image).unwrap(), file.ledger().totals())
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let books = Books::command_line();
    let refunds = RefundPolicy { on_failure: true, on_tool_error: false };
    let prices = PriceList::flat(Credits::new(7).unwrap());
    let engine = |file: &StateFile| {
        gate(file.ledger(), GateConfig { refunds, prices: prices.clone(), ..GateConfig::default() })
    };
    let mut file = books.open();
    let mut gate = engine(&file);
    let mut open: Vec<Charged> = Vec::new();
    for step in steps {
        let credits = |credits| Credits::new(credits).unwrap();
        let ledger = file.ledger();
        match step {
            Step::Open(key, amount) => file.open_key(&format!("k{key}"), amount),
            Step::Grant(key, amount) => drop(ledger.grant(&name(&file, key), credits(amount)).unwrap()),
            Step::Deduct(key, amount) => drop(ledger.deduct(&name(&file, key), credits(amount))),
            Step::Evaluate(key) => drop(evaluate(&gate, &name(&file, key))),
            Step::Charge(key) => open.extend(charge(&gate, &name(&file, key))),
            Step::Settle(which, back) if which < open.len() => {
                open.swap_remove(which).settle(if back { Ending::TimedOut } else { Ending::Result });
            }
            Step::Settle(..) => {}
            Step::Goodwill(key, amount) => drop(ledger.goodwill(&name(&file, key), credits(amount))),
            Step::Revoke(key) => drop(ledger.revoke(&name(&file, key))),
            Step::Rotate(key) => drop(ledger.rotate(&name(&file, key))),
            Step::Edit(key, amount) => {
                if let Some((place, _)) = ledger.accounts.find_full(&name(&file, key)) {
                    ledger.edit(place, "credits", Some(amount.into())).unwrap();
                }
            }
            Step::Save => file.save().unwrap(),
            Step::Reopen => {
                let before = state(&file);
                let again = books.open();
                prop_assert_eq!(&state(&again), &before);
                again.assert_books_agree();
                // Kept, which changes no number: what the old books do from here on, the new ones do not see.
                for charged in open.drain(..) {
                    charged.settle(Ending::Result);
                }
                gate = engine(&again);
                file = again;
            }
        }
    }
    open.clear();
    let before = state(&file);
    drop((gate, file));
    let again = books.open();
    prop_assert_eq!(state(&again), before);
    prop_assert_eq!(again.left_open().len(), 0);
    again.assert_books_agree();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn books_that_are_opened_again_are_the_same(steps in prop::collection::vec(step(), 1..80)) {
        run(steps)?;
    }
}
