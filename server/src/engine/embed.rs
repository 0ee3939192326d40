//! Embeddings: by the model's own server if it has one, or else by this server.

use std::sync::Arc;

use super::input::files::{self, FileData, LoadedFile};
use super::run::usage;
use super::{Engine, EngineError};
use crate::embedding::{self, Family};
use backend::{BackendError, Embed, EmbedInput, EmbedPart, MediaContent};
use domain::interaction::{Content, Step, Tokens};
use store::Owner;

/// Contents to embed, each to one vector.
#[derive(Debug)]
pub struct EmbedRequest {
    /// Without `models/`.
    pub model: String,
    pub contents: Vec<EmbedContent>,
    pub owner: Owner,
}

#[derive(Debug)]
pub struct EmbedContent {
    pub parts: Vec<Content>,
    pub task_type: Option<String>,
    pub title: Option<String>,
    pub dimensions: Option<usize>,
    pub excess: Excess,
}

/// What happens to the part of an input that is too long for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Excess {
    #[default]
    Cut,
    Refuse,
}

/// A vector, and what is known about its input.
#[derive(Debug)]
pub struct EmbeddedContent {
    pub values: Vec<f32>,
    pub tokens: Tokens,
    /// Whether only the start of the input was embedded.
    pub is_truncated: bool,
}

impl Engine {
    /// Whether the model has embeddings.
    pub fn embeds(&self, model: &str) -> bool {
        // Nothing is sent before the future is polled.
        let nothing = Arc::new(Embed {
            model: model.to_owned(),
            inputs: Vec::new(),
            owner: Owner::default(),
        });
        Family::of_model(model).is_some() || self.backend.embed(&nothing).is_some()
    }

    pub async fn embed(&self, request: EmbedRequest) -> Result<Vec<EmbeddedContent>, EngineError> {
        let EmbedRequest { model, contents, owner } = request;
        let (mut inputs, mut counts, mut excesses) = (Vec::new(), Vec::new(), Vec::new());
        let mut memory = Vec::new();
        for content in contents {
            let EmbedContent { parts, task_type, title, dimensions, excess } = content;
            let steps = [Step::UserInput(parts)];
            let budget = &self.sandbox.budget().of(&owner);
            let (files, fetched) = files::of_input(&steps, &self.sources, &owner, budget).await?;
            memory.push(fetched);
            counts.push(usage::of_prompt(None, &steps, &files, &self.sources.uploads).await?);
            excesses.push(excess);
            let [Step::UserInput(parts)] = steps else { continue };
            inputs.push(EmbedInput { parts: parts_of(parts, files), task_type, title, dimensions });
        }
        let embed = Arc::new(Embed { model, inputs, owner });
        let vectors = match self.backend.embed(&embed) {
            Some(embedding) => {
                let embedded = embedding.await?;
                // The total is shared among the inputs as the estimates are.
                let estimate: Tokens = counts.iter().copied().sum();
                if let Some(total) = embedded.tokens {
                    share(&mut counts, estimate.total(), total);
                }
                let whole = embedded.vectors.into_iter().map(|values| (values, false));
                whole.collect()
            }
            None => self.make(&embed, &mut counts, &excesses).await?,
        };
        let vectors = vectors.into_iter().zip(counts);
        Ok(vectors
            .map(|((values, is_truncated), tokens)| EmbeddedContent {
                values,
                tokens,
                is_truncated,
            })
            .collect())
    }

    /// Makes the vectors, and cuts the counts to the length that was embedded.
    async fn make(
        &self,
        embed: &Arc<Embed>,
        counts: &mut [Tokens],
        excesses: &[Excess],
    ) -> Result<Vec<(Vec<f32>, bool)>, EngineError> {
        let family = Family::of_model(&embed.model)
            .ok_or_else(|| EngineError::NoEmbeddings(embed.model.clone()))?;
        let refuse = |why: String| EngineError::Backend(BackendError::Refused(why));
        let mut truncated = Vec::new();
        for ((input, tokens), excess) in embed.inputs.iter().zip(counts).zip(excesses) {
            if let Some(size) = input.dimensions.filter(|size| *size > family.max_size) {
                let (model, most) = (&embed.model, family.max_size);
                return Err(refuse(format!(
                    "Invalid value for 'outputDimensionality': {model} has vectors of at most {most} \
                     values, and the request sets {size}."
                )));
            }
            let has_media = input.parts.iter().any(|part| matches!(part, EmbedPart::Media { .. }));
            if has_media && !family.takes_media {
                let why = "embeds texts alone, not pictures, sound or documents.";
                return Err(refuse(format!("The model {} {why}", embed.model)));
            }
            let is_long = tokens.total() > family.max_tokens && !has_media;
            if is_long && *excess == Excess::Refuse {
                let (has, most) = (tokens.total(), family.max_tokens);
                return Err(refuse(format!(
                    "The input has {has} tokens, and {} embeds at most {most}.",
                    embed.model
                )));
            }
            if is_long {
                *tokens = Tokens::text(family.max_tokens);
            }
            truncated.push(is_long);
        }
        let place = self.embedding.of(&embed.owner).take().await;
        let embed = Arc::clone(embed);
        let made = tokio::task::spawn_blocking(move || {
            let _place = place;
            let vector = |input: &EmbedInput| {
                let size = input.dimensions.unwrap_or(family.default_size);
                embedding::vector(&embed.model, &input.parts, family, size)
            };
            embed.inputs.iter().map(vector).collect::<Vec<_>>()
        });
        let made = made.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => EngineError::Stopping,
        })?;
        Ok(made.into_iter().zip(truncated).collect())
    }
}

/// Splits a total among counts.
fn share(counts: &mut [Tokens], estimated: u64, total: u64) {
    let mut left = total;
    let last = counts.len().saturating_sub(1);
    for (at, count) in counts.iter_mut().enumerate() {
        let part = u128::from(count.total()) * u128::from(total);
        let part = part.checked_div(u128::from(estimated)).unwrap_or_default();
        let part = if at == last { left } else { u64::try_from(part).unwrap_or(left).min(left) };
        left -= part;
        *count = count.scaled_to(part);
    }
}

/// The parts of an input. Each media is the next file.
fn parts_of(contents: Vec<Content>, files: Vec<LoadedFile>) -> Vec<EmbedPart> {
    let mut files = files.into_iter();
    let part = |content| match content {
        Content::Text { text, .. } => Some(EmbedPart::Text(text)),
        Content::Media(_) => files.next().map(|LoadedFile { about, content }| EmbedPart::Media {
            mime_type: about.mime_type,
            content: match content {
                FileData::InMemory(bytes) => MediaContent::Here(bytes),
                FileData::OnDisk(stored) => MediaContent::Stored(stored.sha256),
            },
        }),
        Content::Passthrough(_) => None,
    };
    contents.into_iter().filter_map(part).collect()
}
