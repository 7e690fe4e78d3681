"""What makes data: toy scenes, views, object proposals, packed folders, annotations of other tools."""
