//! Documents of which some tokens may still go to a row: each is settled when all of its tokens are placed or lost.
//!
//! Until then the books count a document as kept. One that packing leaves out whole is dropped after all, with the
//! reason; of one that is cut, the tokens that are trained on are counted again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::packing::packer::Loss;
use crate::pipeline::folder::books::Books;
use crate::pipeline::folder::counts::ChatCounts;
use crate::unread_keys::KeySet;

/// What packing has made of a document so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Whether any of its tokens is in a row.
    pub is_in_rows: bool,
    /// Tokens in rows that are trained on.
    pub tokens_trained: u64,
    /// The first of its articles of which tokens were lost, and why.
    pub lost: Option<(u64, Lost)>,
}

impl Placed {
    fn lose(&mut self, article: u64, lost: Lost) {
        if self.lost.is_none_or(|(first, _)| article < first) {
            self.lost = Some((article, lost));
        }
    }
}

/// Why tokens are in no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// See [`Loss::TooLong`].
    TooLong,
    /// See [`Loss::TooShort`].
    TooShort,
    /// Their row is not full.
    Unfinished,
    /// Nothing in their row is trained on.
    Untrained,
}

impl Lost {
    /// The reason's name in ledgers.
    const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "longer than a row",
            Self::TooShort => "shorter than a row",
            Self::Unfinished => "in a last row that is not full",
            Self::Untrained => "nothing in its row is trained on",
        }
    }
}

/// A document that the packer has seen.
#[derive(Debug)]
struct Document {
    /// Index of its input.
    file: usize,
    /// Number of the article after its last one.
    end_article: u64,
    /// Its articles that were left out whole when they came.
    num_refused: u64,
    num_articles: u64,
    text_bytes: u64,
    chats: ChatCounts,
    unread: KeySet,
    placed: Placed,
}

/// Documents that are not settled, in order. The last one may be the one whose articles are being packed.
#[derive(Debug, Default)]
pub struct InFlight {
    documents: VecDeque<Document>,
    is_open: bool,
    /// Nothing more happens to articles before this one.
    decided: u64,
    /// Of the next document, by an earlier attempt.
    resumed: Placed,
}

impl InFlight {
    /// Starts with what was made of the next document.
    pub fn resume(placed: Placed) -> Self {
        Self { resumed: placed, ..Self::default() }
    }

    /// A document comes: its input, its articles, its bytes of text, what it holds, and its keys that were not read.
    pub fn begin(
        &mut self,
        file: usize,
        (first, num_articles): (u64, u64),
        (text_bytes, chats, unread): (u64, ChatCounts, KeySet),
    ) {
        let placed = std::mem::take(&mut self.resumed);
        let end_article = first + num_articles;
        let num_refused = 0;
        let document =
            Document { file, end_article, num_refused, num_articles, text_bytes, chats, unread, placed };
        self.documents.push_back(document);
        self.is_open = true;
    }

    /// All articles of the document were handed to the packer, and the books count it as kept.
    pub fn end(&mut self, books: &mut Books<'_>) {
        self.is_open = false;
        self.settle(self.decided, books);
        // Else long documents after a short one would pile up until its row ends.
        if self.documents.back().is_some_and(|last| last.num_refused == last.num_articles)
            && let Some(last) = self.documents.pop_back()
        {
            last.settle(books);
        }
    }

    /// A row has ended that is written, or not: the articles of its pieces, with the tokens that are trained on.
    pub fn note_row(&mut self, is_written: bool, articles: &[(u64, u64)]) {
        if !is_written {
            return self.lose(articles, Lost::Untrained);
        }
        for &(article, tokens_trained) in articles {
            if let Some(Document { placed, .. }) = self.of(article) {
                placed.is_in_rows = true;
                placed.tokens_trained += tokens_trained;
            }
        }
    }

    /// A row is not written.
    pub fn lose(&mut self, articles: &[(u64, u64)], lost: Lost) {
        for &(article, _) in articles {
            if let Some(document) = self.of(article) {
                document.placed.lose(article, lost);
            }
        }
    }

    /// The packer leaves out tokens of an article.
    pub fn refuse(&mut self, article: u64, loss: Loss) {
        let lost = match loss {
            Loss::Truncated => return,
            Loss::TooLong => Lost::TooLong,
            Loss::TooShort => Lost::TooShort,
        };
        if let Some(document) = self.of(article) {
            document.num_refused += 1;
            document.placed.lose(article, lost);
        }
    }

    /// Settles the documents whose articles are all before this one.
    pub fn settle(&mut self, decided: u64, books: &mut Books<'_>) {
        self.decided = decided;
        let num_closed = self.documents.len() - usize::from(self.is_open);
        let num_decided = self.documents.partition_point(|document| document.end_article <= decided);
        for document in self.documents.drain(..num_decided.min(num_closed)) {
            document.settle(books);
        }
    }

    /// What was made so far of the document whose articles are being packed.
    pub fn open(&self) -> Placed {
        let open = self.documents.back().filter(|_| self.is_open);
        open.map_or_else(Placed::default, |document| document.placed)
    }

    /// The document of an article.
    fn of(&mut self, article: u64) -> Option<&mut Document> {
        let at = self.documents.partition_point(|document| document.end_article <= article);
        self.documents.get_mut(at)
    }
}

impl Document {
    fn settle(self, books: &mut Books<'_>) {
        let Self { file, text_bytes, chats, unread, placed, .. } = self;
        if !placed.is_in_rows {
            let reason = placed.lost.map_or(Lost::Untrained, |(_, lost)| lost);
            books.drop_after_all(file, reason.name(), text_bytes, chats, &unread);
        } else if chats.tokens_trained > placed.tokens_trained {
            books.untrain(file, chats.tokens_trained - placed.tokens_trained);
        }
    }
}
