//! The ItemBatcher: several items in one child's input.

use super::ChildInput;
use crate::engine::machine::{Batching, MAX_PAYLOAD};

const END: &[u8] = b"]}";

/// Collects items' inputs into `{"BatchInput": …, "Items": […]}`.
pub(super) struct Batches {
    /// Everything before the first item.
    head: Vec<u8>,
    most_items: u64,
    most_bytes: usize,
    text: Vec<u8>,
    items: u32,
}

impl Batches {
    pub fn new(batching: &Batching) -> Self {
        let mut head = Vec::from(*b"{");
        if let Some(input) = &batching.input {
            head.extend_from_slice(format!("\"BatchInput\":{input},").as_bytes());
        }
        head.extend_from_slice(b"\"Items\":[");
        let limit = |given: u64, most: usize| match usize::try_from(given) {
            Ok(0) | Err(_) => most,
            Ok(given) => given.min(most),
        };
        Self {
            text: head.clone(),
            head,
            most_items: match batching.max_items {
                0 => u64::from(u32::MAX),
                given => given.min(u64::from(u32::MAX)),
            },
            most_bytes: limit(batching.max_bytes, MAX_PAYLOAD),
            items: 0,
        }
    }

    /// Takes one more item in; gives out the batches that are full.
    pub fn add(&mut self, input: &[u8], mut full: impl FnMut(ChildInput)) {
        let longer = self.text.len() + 1 + input.len() + END.len();
        if longer > self.most_bytes {
            self.close(&mut full);
        }
        if self.items > 0 {
            self.text.push(b',');
        }
        self.text.extend_from_slice(input);
        self.items += 1;
        if u64::from(self.items) >= self.most_items {
            self.close(&mut full);
        }
    }

    /// Gives out what is left.
    pub fn close(&mut self, mut full: impl FnMut(ChildInput)) {
        if self.items == 0 {
            return;
        }
        let mut text = std::mem::replace(&mut self.text, self.head.clone());
        text.extend_from_slice(END);
        full(ChildInput {
            items: std::mem::take(&mut self.items),
            text,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn batches(items: &[Value], batching: &Batching) -> Vec<(u32, Value)> {
        let mut found = Vec::new();
        let mut take = |input: ChildInput| {
            found.push((input.items, serde_json::from_slice(&input.text).unwrap()));
        };
        let mut batches = Batches::new(batching);
        for item in items {
            batches.add(item.to_string().as_bytes(), &mut take);
        }
        batches.close(&mut take);
        found
    }

    #[test]
    fn a_batch_closes_at_whichever_limit_comes_first() {
        let items = [json!(1), json!(2), json!("long enough"), json!(4), json!(5)];
        let by = |max_items, max_bytes| {
            let batching = Batching {
                max_items,
                max_bytes,
                input: Some(json!({"job": 7})),
            };
            let found = batches(&items, &batching);
            found
                .into_iter()
                .map(|(items, _)| items)
                .collect::<Vec<_>>()
        };
        assert_eq!(by(2, 0), [2, 2, 1]);
        assert_eq!(by(0, 0), [5]);
        // `{"BatchInput":{"job":7},"Items":[1,2]}` is 38 bytes long.
        assert_eq!(by(0, 38), [2, 1, 2]);
        assert_eq!(by(1, 38), [1, 1, 1, 1, 1]);
        let batching = Batching {
            max_items: 2,
            ..Batching::default()
        };
        assert_eq!(
            batches(&items[..3], &batching),
            [
                (2, json!({"Items": [1, 2]})),
                (1, json!({"Items": ["long enough"]}))
            ]
        );
    }

    proptest! {
        #[test]
        fn no_item_is_lost_and_no_batch_is_too_long(
            items in proptest::collection::vec("[a-z\"]{0,12}", 0..20), max_items in 0_u64..5, max_bytes in 60_u64..120,
        ) {
            let items: Vec<Value> = items.into_iter().map(Value::from).collect();
            let batching = Batching { max_items, max_bytes, input: Some(json!("x")) };
            let found = batches(&items, &batching);
            for (count, batch) in &found {
                prop_assert!(batch.to_string().len() as u64 <= max_bytes);
                prop_assert_eq!(batch["Items"].as_array().unwrap().len() as u32, *count);
                prop_assert!(max_items == 0 || u64::from(*count) <= max_items);
            }
            let all: Vec<Value> = found.iter().flat_map(|(_, batch)| batch["Items"].as_array().unwrap().clone()).collect();
            prop_assert_eq!(all, items);
        }
    }
}
