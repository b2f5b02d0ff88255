"""What the watcher does: plugin files into rows, and previews of what they make."""
