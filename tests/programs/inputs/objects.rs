// Vectors, strings, trees and boxes that threads hand to each other, on Rust's default (the system's) allocator.
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc;
use std::thread;

struct Generator(u64);

impl Generator {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

enum Tree {
    Leaf,
    Node(Box<Tree>, Vec<u8>, Box<Tree>),
}

fn tree(depth: u32, random: &mut Generator) -> Tree {
    if depth == 0 {
        return Tree::Leaf;
    }
    let left = Box::new(tree(depth - 1, random));
    let bytes = vec![depth as u8; random.below(100) as usize];
    Tree::Node(left, bytes, Box::new(tree(depth - 1, random)))
}

fn sum(node: &Tree) -> u64 {
    match node {
        Tree::Leaf => 1,
        Tree::Node(left, bytes, right) => sum(left) + bytes.iter().map(|&b| b as u64).sum::<u64>() + sum(right),
    }
}

#[repr(align(128))]
struct Aligned([u8; 128]);

fn work(seed: u64, out: mpsc::Sender<(u64, Vec<String>)>) -> u64 {
    let mut random = Generator(seed);
    let mut records: BTreeMap<String, VecDeque<Box<u64>>> = BTreeMap::new();
    for i in 0..400_000u64 {
        let key = format!("key{}", random.below(20_000));
        records.entry(key.clone()).or_default().push_back(Box::new(i));
        if random.below(8) == 0 {
            records.remove(&key);
        }
        if i % 100 == 0 {
            let batch = (0..random.below(50)).map(|n| key.repeat(n as usize)).collect();
            out.send((i, batch)).unwrap();
        }
    }
    let aligned: Vec<Box<Aligned>> = (0..5_000).map(|i| Box::new(Aligned([i as u8; 128]))).collect();
    for block in &aligned {
        assert_eq!(&**block as *const Aligned as usize % 128, 0);
    }
    let mut total = aligned.iter().map(|block| block.0[127] as u64).sum::<u64>();
    for _ in 0..4 {
        total += sum(&tree(15, &mut random));
    }
    let mut grown = Vec::new();
    for i in 0..3_000_000u64 {
        grown.push(i ^ seed);
    }
    total = grown.iter().fold(total, |a, b| a.wrapping_add(*b));
    records.iter().fold(total, |a, (key, list)| a.wrapping_add(key.len() as u64 + list.iter().map(|b| **b).sum::<u64>()))
}

fn main() {
    let (out, received) = mpsc::channel();
    let threads: Vec<_> = (1..=4)
        .map(|seed| {
            let out = out.clone();
            thread::spawn(move || work(seed, out))
        })
        .collect();
    drop(out);
    let mut bytes = 0u64;
    for (i, batch) in received {
        bytes = bytes.wrapping_add(i).wrapping_add(batch.iter().map(|text| text.len() as u64).sum::<u64>());
    }
    println!("received {}", bytes);
    for thread in threads {
        println!("{}", thread.join().unwrap());
    }
}
