# One image, its vector as JSON.
curl --data-binary @cat.jpg http://localhost:7860/api/embed

# Several images; a bad one gets its own error.
curl -F a=@cat.jpg -F b=@dog.png http://localhost:7860/api/embed

# Base64 in JSON, with options.
printf '{"images":["%s"],"normalize":true}' "$(base64 < cat.jpg | tr -d '\n')" |
  curl -H 'Content-Type: application/json' --data-binary @- http://localhost:7860/api/embed

# A NumPy file of another output.
curl --data-binary @cat.jpg -H 'Accept: application/x-npy' -o cat.npy 'http://localhost:7860/api/embed?output=projected'

# The cosine of every pair.
curl -F a=@cat.jpg -F b=@dog.png http://localhost:7860/api/similarity
