//! The families of embedding models, which differ in their sizes.

/// What the models of a family have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// A part of the names of its models.
    name: &'static str,
    /// Size of a vector if the request sets none.
    pub default_size: usize,
    pub max_size: usize,
    /// Maximum length of an input; the rest is cut.
    pub max_tokens: u64,
    /// Whether a shorter vector has length one too. If not, it is the start of the whole vector.
    pub shortens_to_unit: bool,
    /// Whether inputs may have pictures, sound and documents.
    pub takes_media: bool,
    /// Whether answers of the Gemini API have token counts.
    pub counts_tokens: bool,
}

/// In the order of search: any other name is in the last.
static FAMILIES: [Family; 4] = [
    Family {
        name: "gemini-embedding-001",
        default_size: 3072,
        max_size: 3072,
        max_tokens: 2048,
        shortens_to_unit: false,
        takes_media: false,
        counts_tokens: false,
    },
    Family {
        name: "gemini-embedding",
        default_size: 3072,
        max_size: 3072,
        max_tokens: 8192,
        shortens_to_unit: true,
        takes_media: true,
        counts_tokens: true,
    },
    Family {
        name: "embedding-",
        default_size: 768,
        max_size: 768,
        max_tokens: 2048,
        shortens_to_unit: true,
        takes_media: false,
        counts_tokens: true,
    },
    Family {
        name: "embed",
        default_size: 3072,
        max_size: 3072,
        max_tokens: 8192,
        shortens_to_unit: true,
        takes_media: true,
        counts_tokens: true,
    },
];

impl Family {
    /// The family of a model. `None` if its name is not that of an embedding model.
    pub fn of_model(model: &str) -> Option<&'static Family> {
        let model = model.to_ascii_lowercase();
        FAMILIES.iter().find(|family| model.contains(family.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_follows_from_the_name() {
        for (model, wanted) in [
            ("gemini-embedding-001", Some((3072, false))),
            ("gemini-embedding-2-preview", Some((3072, true))),
            ("text-embedding-005", Some((768, true))),
            ("text-multilingual-embedding-002", Some((768, true))),
            ("embedding-001", Some((768, true))),
            ("Nomic-Embed-Text", Some((3072, true))),
            ("gemini-3.8-flash", None),
            ("direct", None),
        ] {
            let found = Family::of_model(model);
            let found = found.map(|family| (family.default_size, family.shortens_to_unit));
            assert_eq!(found, wanted, "{model}");
        }
    }
}
