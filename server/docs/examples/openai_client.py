import base64
from openai import OpenAI

client = OpenAI(base_url="http://localhost:7860/v1", api_key="none")
with open("cat.jpg", "rb") as f:
    image = "data:image/jpeg;base64," + base64.b64encode(f.read()).decode()
model = client.models.list().data[0].id
answer = client.embeddings.create(model=model, input=[image])
print(answer.model, answer.data[0].embedding[:4])
