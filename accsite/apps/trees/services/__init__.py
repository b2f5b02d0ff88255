"""Everything that changes trees and their checkpoints: one transaction a function."""
