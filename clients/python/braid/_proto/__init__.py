"""What protoc writes from proto/braid/v1/plan.proto (generate.sh). Not for import from outside."""
